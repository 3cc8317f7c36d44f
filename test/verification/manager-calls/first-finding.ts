/**
 * Runs the sequences of the short form in a process of their own, until one finds something. Sends the outcome to the
 * process that started it, which ends this one.
 *
 * Usage: a child process with an IPC channel, and the seconds of processor time that it may take
 */
import process from "node:process";
import { VirtualTime } from "./virtual-time.js";

export interface FirstFinding {
  sequences: number;
  seconds: number;
  /** The kinds that the last sequence found. Empty: the time is over. */
  kinds: string[];
}

const time = new VirtualTime(true);
time.begin(); // before anything keeps a timer of its own
const { draw_plan } = await import("./plan.js");
const { run_plan } = await import("./run.js");

const SEARCH_S = Number(process.argv[2]);
const before = process.cpuUsage();
const seconds_used = () => {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};
let sequences = 0;
let kinds: string[] = [];
while (kinds.length === 0 && seconds_used() < SEARCH_S) {
  sequences += 1;
  try {
    kinds = (await run_plan(draw_plan(sequences), time)).map(({ kind }) => kind);
  } catch (error) {
    kinds = [`crash: ${String(error)}`];
  }
}
process.send?.({ sequences, seconds: seconds_used(), kinds: [...new Set(kinds)] } satisfies FirstFinding);
