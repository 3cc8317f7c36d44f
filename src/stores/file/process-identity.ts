import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import process from "node:process";
import { threadId as thread_id } from "node:worker_threads";
import { is_error } from "../../errors.js";

/** Who holds a lock, so that others can tell whether it still lives. */
export interface ProcessIdentity {
  pid: number;
  /** Worker threads share the number of their process. */
  thread: number;
  /** When the process began, as the system counts it; empty where that is unknown. */
  started: string;
  boot: string;
  machine: string;
  pid_namespace: string;
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

interface ProcessStat {
  state: string;
  started: string;
}

function process_stat(pid: number): ProcessStat | undefined {
  const stat = read_if_there(() => fs.readFileSync(`/proc/${pid}/stat`, "latin1"));
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.length < 20 ? undefined : { state: fields[0] ?? "", started: fields[19] ?? "" };
}

let own: ProcessIdentity | undefined;

export function own_identity(): ProcessIdentity {
  own ??= {
    pid: process.pid,
    thread: thread_id,
    started: process_stat(process.pid)?.started ?? "",
    boot: short(read_if_there(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1"))),
    machine: short(read_if_there(() => fs.readFileSync("/etc/machine-id", "latin1")) + os.hostname()),
    pid_namespace: short(read_if_there(() => fs.readlinkSync("/proc/self/ns/pid"))),
  };
  return own;
}

/** Whether a process is certainly gone, certainly alive, or out of sight: on another machine, in another container. */
export function life_of(other: ProcessIdentity): "gone" | "alive" | "unknown" {
  const self = own_identity();
  if (other.machine !== self.machine) {
    return "unknown";
  }
  if (other.boot !== self.boot) {
    return other.boot !== "" && self.boot !== "" ? "gone" : "unknown";
  }
  if (other.pid_namespace !== self.pid_namespace) {
    return "unknown";
  }
  try {
    process.kill(other.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") {
      return "gone";
    }
  }
  const stat = process_stat(other.pid);
  if (stat === undefined || other.started === "") {
    return "unknown"; // the number may be another process's by now
  }
  return stat.state === "Z" || stat.state === "X" || stat.started !== other.started ? "gone" : "alive";
}
