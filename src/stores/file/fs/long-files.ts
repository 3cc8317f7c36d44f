import fs from "node:fs";
import process from "node:process";
import { sleep, timers } from "../../../async/timers.js";
import { is_errno } from "./file-layer.js";

/** Longer files take the device noticeable time to free. */
const LONG_BYTES = 64 * 1024;
/** Time for others to sync before the next one is freed: who syncs meanwhile waits for that, too. */
const GAP_MS = 15;
/** The most files that wait. */
const MOST_WAITING = 4;

/** Windows refuses a change of a name in one of these ways while any program has the file open. */
const REFUSED_A_WHILE = ["EPERM", "EBUSY", "EACCES"];
const PATIENCE_MS = 2_000;

/** Files without a name, open, and therefore not freed yet: the oldest first. */
const waiting: number[] = [];
/** Those that are being freed. */
const under_way = new Set<Promise<void>>();
let timer: NodeJS.Timeout | undefined;

/**
 * Changes a name in place. A long file whose last name this was is freed a little later, on the thread pool, one after
 * another: the change itself takes no longer for it, nor does what others sync meanwhile.
 */
export function change_name(path: string, change: () => void): void {
  const is_kept = !is_windows(); // which changes no name of an open file
  const is_long = is_kept && (fs.lstatSync(path, { throwIfNoEntry: false })?.size ?? 0) > LONG_BYTES;
  const fd = is_long ? open_if_possible(path) : undefined;
  try {
    change();
  } catch (error) {
    if (fd !== undefined) {
      fs.closeSync(fd);
    }
    throw error;
  }
  if (fd === undefined) {
    return;
  }
  waiting.push(fd);
  if (waiting.length > MOST_WAITING) {
    free_next();
  }
  timer ??= set_timer();
}

/** Changes a name. Windows is asked again for two seconds: virus scanners and indexers open every new file for a moment. */
export async function patiently(change: () => void | Promise<void>, is_needed = is_windows()): Promise<void> {
  const end = timers.now() + PATIENCE_MS;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    try {
      return await change();
    } catch (error) {
      if (!is_needed || !is_errno(error, ...REFUSED_A_WHILE) || timers.now() >= end) {
        throw error;
      }
    }
    await sleep(wait);
  }
}

function is_windows(): boolean {
  return process.platform === "win32";
}

/** Does what may need room on the device: where there is none, once more when what waits is freed. */
export async function with_room<T>(task: () => T | Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (is_errno(error, "ENOSPC", "EDQUOT") && (await free_all())) {
      return task();
    }
    throw error;
  }
}

/** Frees all that waits. Returns whether there was anything. */
export async function free_all(): Promise<boolean> {
  waiting.splice(0).forEach(close);
  const closing = [...under_way];
  await Promise.all(closing);
  return closing.length > 0;
}

/** Nothing was written through it: closing it cannot lose anything. */
function close(fd: number): void {
  const closed = new Promise<void>((resolve) => fs.close(fd, () => resolve()));
  under_way.add(closed);
  void closed.then(() => under_way.delete(closed));
}

function set_timer(): NodeJS.Timeout {
  return timers.set_timeout(free_next, GAP_MS).unref(); // a process that ends frees them all
}

function free_next(): void {
  const fd = waiting.shift();
  if (fd !== undefined) {
    close(fd);
  }
  timers.clear_timeout(timer);
  timer = waiting.length > 0 ? set_timer() : undefined;
}

/** `undefined`: not to be opened, and freed in place. */
function open_if_possible(path: string): number | undefined {
  try {
    return fs.openSync(path, open_flags("read"));
  } catch {
    return undefined;
  }
}

/** Returns the flags that open a file, but follow no link and wait for no pipe. */
export function open_flags(how: "read" | "modify"): number {
  const { constants } = fs; // those of some systems lack two of these
  return (
    (how === "read" ? constants.O_RDONLY : constants.O_RDWR) | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
  );
}
