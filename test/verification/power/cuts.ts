import { spawn } from "node:child_process";
import fs from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Disks } from "./disk.js";
import type { WriterTask } from "./writer-task.js";

/** What the device held at one moment of a writer's life. */
export interface Cut {
  image: Buffer;
  /** What was acknowledged before that moment … */
  before: string[];
  /** … and soon after it. */
  after: string[];
  moment: string;
}

export interface Run extends Omit<WriterTask, "root" | "acknowledgements"> {
  options: string;
  /** When it is stopped besides, in milliseconds after it began. */
  stop_at: number[];
}

/** How long to wait for a writer that neither stops nor ends. */
const PATIENCE_MS = 30_000;

/** Lets a writer run on a disk of its own, and cuts the power several times, the last time for good. */
export async function cut_power(disks: Disks, empty: Buffer, program: string, run: Run): Promise<Cut[]> {
  const { options, stop_at, ...work } = run;
  const root = `${disks.mount(empty, "disk", options)}/sessions`;
  const acknowledgements = disks.path("acknowledged");
  fs.writeFileSync(acknowledgements, "");
  const task: WriterTask = { ...work, root, acknowledgements };
  const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ["ignore", "ignore", "pipe"] });
  disks.adopt(child);
  const pid = child.pid ?? 0;
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  const timers = stop_at.map((ms) => setTimeout(() => child.kill("SIGSTOP"), ms));
  const acknowledged = () => fs.readFileSync(acknowledgements, "utf8").split("\n").slice(0, -1);
  const cuts: Cut[] = [];
  const cut = (moment: string) => {
    const before = acknowledged();
    const image = disks.copy("disk");
    cuts.push({ image, before, after: acknowledged(), moment });
  };
  try {
    const expected = run.stop_after.length + run.stop_before.length + stop_at.length;
    while (cuts.length < expected && (await stops(pid))) {
      cut(`cut ${cuts.length + 1}`);
      child.kill("SIGCONT");
    }
    child.kill("SIGKILL");
    const status = await ended;
    cut("the last cut");
    if (status !== null && status !== 0) {
      throw new Error(`the writer ended with ${status}: ${errors}`);
    }
    return cuts;
  } finally {
    timers.forEach(clearTimeout);
    child.kill("SIGKILL");
    await ended;
    disks.unmount("disk");
  }
}

/** Waits until a process is stopped. False: it has ended. */
async function stops(pid: number): Promise<boolean> {
  for (const began = performance.now(); performance.now() - began < PATIENCE_MS; await sleep(1)) {
    const state = state_of(pid);
    if (state === "T") {
      return true;
    }
    if (state === undefined || state === "Z") {
      return false;
    }
  }
  throw new Error(`the writer ${pid} neither stops nor ends`);
}

/** As in `ps`; `undefined`: there is no such process. */
function state_of(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).at(0);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(String((error as NodeJS.ErrnoException).code))) {
      return undefined;
    }
    throw error;
  }
}
