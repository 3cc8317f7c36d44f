import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import process from "node:process";
import { threadId as thread_id } from "node:worker_threads";
import { is_error } from "../../../errors.js";

/** Identifies the thread that holds a lock, so that others can tell whether the thread still runs. */
export interface ProcessIdentity {
  pid: number;
  /** The system's number of the thread. Where the system tells none, the runtime's. */
  thread: number;
  /** When the thread began, as the system counts it. Empty where that is unknown. */
  started: string;
  boot: string;
  machine: string;
  /** The namespaces of process numbers and of times. Empty where the system tells none. */
  namespaces: string;
}

function short(text: string): string {
  return text === "" ? "" : createHash("sha256").update(text).digest("hex").slice(0, 6);
}

/** For what exists on some systems only: what cannot be read is unknown, and locks then age instead. */
function read_if_there(read: () => string): string {
  try {
    return read().trim();
  } catch (error) {
    return is_error(error) ? "" : String(error);
  }
}

/** Returns the state of a process or thread and when it began. `task`: its directory below /proc. */
function stat_of(task: string): { state: string; started: string } | undefined {
  const stat = read_if_there(() => fs.readFileSync(`/proc/${task}/stat`, "latin1"));
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.length < 20 ? undefined : { state: fields[0] ?? "", started: fields[19] ?? "" };
}

/** Returns the namespaces in which the numbers of processes and their starts count: equal texts, equal namespaces. */
function namespaces(): string {
  const read = (of: string) => read_if_there(() => fs.readlinkSync(`/proc/self/ns/${of}`));
  const pid = read("pid");
  return pid && pid + read("time");
}

let own: ProcessIdentity | undefined;

export function own_identity(): ProcessIdentity {
  if (!own) {
    const task = read_if_there(() => fs.readlinkSync("/proc/thread-self")); // such as "12/task/34"
    own = {
      pid: process.pid,
      thread: Number(task.split("/")[2] ?? thread_id),
      started: stat_of(task)?.started ?? "",
      boot: short(read_if_there(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1"))),
      machine: short(read_if_there(() => fs.readFileSync("/etc/machine-id", "latin1")) + os.hostname()),
      namespaces: short(namespaces()),
    };
  }
  return own;
}

/**
 * Tells whether a thread has certainly ended, certainly runs, or cannot be asked: on another machine, in another
 * container, before the machine booted. Machines that were cloned from one image differ in nothing but the boot.
 */
export function life_of(other: ProcessIdentity, self = own_identity()): "gone" | "alive" | "unknown" {
  const has_namespaces = process.platform === "linux";
  const is_in_sight =
    other.machine === self.machine &&
    other.boot === self.boot &&
    other.namespaces === self.namespaces &&
    (self.namespaces !== "" || !has_namespaces); // Deno hides the namespace without --allow-all
  if (!is_in_sight) {
    return "unknown";
  }
  try {
    process.kill(other.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") {
      return "gone";
    }
  }
  if (other.started === "" || !stat_of(`${other.pid}`)) {
    return "unknown"; // the number may be another process's by now
  }
  const { state, started } = stat_of(`${other.pid}/task/${other.thread}`) ?? { state: "X", started: "" };
  return state === "Z" || state === "X" || started !== other.started ? "gone" : "alive";
}
