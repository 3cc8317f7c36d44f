import fs from "node:fs";
import { join } from "node:path";
import { checksum } from "../../../src/stores/file/format/checksum.js";
import { locks_are_files } from "../lock-kind.js";

/** The text of the lock that a process of this machine takes, as it is seen beside the process that is stopped at it. */
export interface DeadLock {
  name: string;
  /** Leaves the lock, and whatever else the dead have left, in a directory. */
  leave(root: string, id: string, own: string, n: number): void;
}

const GONE = 999_999_999;

function token(n: number): string {
  return n.toString(16).padStart(12, "0");
}

/** `own`: the text of a lock of this process. */
function of_process(own: string, pid: number, n: number): string {
  return own.replace(/^\d+/, String(pid)).replace(/[0-9a-f]{12}$/, token(n));
}

function make_lock(target: string, path: string): void {
  if (locks_are_files()) {
    fs.writeFileSync(path, target);
  } else {
    fs.symlinkSync(target, path);
  }
}

function leave_lock(root: string, id: string, target: string): void {
  make_lock(target, join(root, `${id}.lock`));
}

function leave_claim(root: string, id: string, dead: string, claimant: string): void {
  make_lock(claimant, join(root, `${id}.${checksum("claim", dead).slice(0, 12)}.tmp`));
}

export const DEAD_LOCKS: DeadLock[] = [
  {
    name: "a lock whose holder is gone",
    leave: (root, id, own, n) => leave_lock(root, id, of_process(own, GONE, n)),
  },
  {
    name: "one that another was taking over when it died",
    leave(root, id, own, n) {
      const dead = of_process(own, GONE, n);
      leave_lock(root, id, dead);
      leave_claim(root, id, dead, of_process(own, GONE - 1, n + 1));
    },
  },
];

/** Locks that nobody can judge: they have to age. */
export const AGING_LOCKS: DeadLock[] = [
  {
    name: "a lock out of sight",
    leave: (root, id, own, n) => leave_lock(root, id, of_process(own, GONE, n).split(".").with(3, "abcdef").join(".")),
  },
  { name: "a lock that says nothing", leave: (root, id) => leave_lock(root, id, "nowhere") },
  {
    name: "a lock out of sight that another out of sight was taking over",
    leave(root, id, own, n) {
      const dead = of_process(own, GONE, n).split(".").with(3, "abcdef").join(".");
      leave_lock(root, id, dead);
      leave_claim(
        root,
        id,
        dead,
        of_process(own, GONE, n + 1)
          .split(".")
          .with(3, "abcdef")
          .join("."),
      );
    },
  },
];
