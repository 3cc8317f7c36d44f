import fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { SessionLock } from "../../../src/stores/file/lock/session-lock.js";
import { SessionPaths } from "../../../src/stores/file/session-paths.js";
import { hear, say } from "./child-io.js";

/** The options of the locks. */
const PATIENCE = { lock_timeout_ms: 60_000, file_mode: 0o600 };

export interface ContendTask {
  root: string;
}

/**
 * For each id that it hears, all at once if there are several: takes the lock, looks whether anybody else has it, lets
 * go. Says `round …` when it had each, and `both {id}` where it was not alone.
 */
export async function contend({ root }: ContendTask): Promise<void> {
  say("ready");
  for (let line = await hear(); line !== undefined; line = await hear()) {
    await Promise.all(line.split(" ").map((id) => hold_once(root, id)));
    say("round", line);
  }
}

async function hold_once(root: string, id: string): Promise<void> {
  const held = join(root, `${id}.held`);
  try {
    const lock = await SessionLock.acquire(NODE_FILE_LAYER, new SessionPaths(root, id), PATIENCE);
    const is_alone = mark(held);
    await sleep(2 * Math.random());
    const is_held = await lock.is_held();
    if (!is_alone || !is_held) {
      say("both", id, is_alone ? "its lock is another's" : "another holds it too");
    }
    if (is_alone) {
      fs.unlinkSync(held);
    }
    await lock.release();
  } catch (error) {
    say("error", id, String(error));
  }
}

/** Whether nobody else has marked it. */
function mark(path: string): boolean {
  try {
    fs.closeSync(fs.openSync(path, "wx"));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") {
      return false;
    }
    throw error;
  }
}
