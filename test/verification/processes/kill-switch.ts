import process from "node:process";
import { Worker } from "node:worker_threads";

/** When a process is to be killed: after so many steps, and so much later. */
export interface KillMoment {
  after_steps: number;
  delay_ms: number;
  /** Rather as soon as a journal in this directory grows: in the midst of a long write. */
  growing_in?: string;
}

/** A thread that sends the signal, on the microsecond and whatever the main thread is doing. */
const SOURCE = `
const fs = require("node:fs");
const { workerData: { counter, after_steps, delay_ms, growing_in }, parentPort } = require("node:worker_threads");
function journal_bytes() {
  const names = fs.readdirSync(growing_in).filter((name) => name.endsWith(".journal"));
  const stats = names.map((name) => fs.statSync(growing_in + "/" + name, { throwIfNoEntry: false }));
  return stats.reduce((sum, stat) => sum + (stat?.size ?? 0), 0);
}
parentPort.postMessage("ready");
for (let done = 0; done < after_steps; done = Atomics.load(counter, 0)) {
  Atomics.wait(counter, 0, done);
}
const until = performance.now() + 200;
for (let size = Infinity; growing_in !== undefined && performance.now() < until; ) {
  const before = size;
  size = journal_bytes();
  if (size > before) {
    break;
  }
}
Atomics.wait(counter, 1, 0, growing_in === undefined ? delay_ms : 0);
process.kill(process.pid, "SIGKILL");
`;

/** Arms this process. Returns what is to be called after each step. */
export async function kill_switch(moment: KillMoment): Promise<() => void> {
  const counter = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(SOURCE, { eval: true, workerData: { counter, ...moment } });
  await new Promise((resolve) => worker.once("message", resolve));
  process.once("exit", () => void worker.terminate());
  return () => {
    Atomics.add(counter, 0, 1);
    Atomics.notify(counter, 0);
  };
}
