import { setTimeout as sleep } from "node:timers/promises";
import { has_code, SessionError } from "../../../src/errors.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { seeded_random } from "../../support/random.js";
import { say } from "./child-io.js";
import { go_out_of_sight } from "./disguise.js";
import { tagged } from "./tags.js";

export interface AppendTask {
  root: string;
  format: FileSessionFormat;
  sessions: string[];
  /** Message n is `{name}.{n}`, and goes to the session that the seed says. */
  name: string;
  seed: number;
  first: number;
  count: number;
  pause_ms?: number;
  /** Nobody can tell whether this process lives. */
  out_of_sight?: boolean;
}

export function name_of(name: string, n: number): string {
  return `${name}.${n}:${24 + (n % 100)}`;
}

/**
 * Appends a message at a time, again where another writer was faster; says `stored {n} {its clock}`, and `broken` where its lock
 * was taken from it. The first may be there already: it was under way when the process before this one was killed.
 */
export async function append_all(task: AppendTask): Promise<void> {
  const { name, first, count, pause_ms = 0 } = task;
  const store = open_store(task);
  for (let n = first; n < count; n += 1) {
    const id = session_of(task, n);
    const tag = name_of(name, n);
    while (!(await append_once(store, id, tag, n === first))) {
      await sleep(10 * Math.random()); // another writer was faster
    }
    say("stored", n, Date.now());
    await sleep(pause_ms);
  }
}

/** Opens a store that waits for stopped processes, however long. */
function open_store({ root, format, out_of_sight }: Pick<AppendTask, "root" | "format" | "out_of_sight">) {
  if (out_of_sight === true) {
    go_out_of_sight();
  }
  return new FileSessionStore(root, { format, lock_timeout_ms: Infinity });
}

export function session_of({ sessions, seed }: Pick<AppendTask, "sessions" | "seed">, n: number): string {
  return seeded_random(seed + n).pick(sessions);
}

async function is_stored(store: FileSessionStore, id: string, tag: string): Promise<boolean> {
  return (await store.load(id))?.messages.some((message) => message.id === tag) ?? false;
}

async function append_once(store: FileSessionStore, id: string, tag: string, may_be_there: boolean): Promise<boolean> {
  if (may_be_there && (await is_stored(store, id, tag))) {
    return true;
  }
  const session = await store.load(id);
  try {
    await store.append(id, [tagged(tag)], { revision: session?.revision ?? "" });
    return true;
  } catch (error) {
    if (error instanceof SessionError && error.message.includes("taken over")) {
      say("broken", tag);
      return error.code === "storage" ? is_stored(store, id, tag) : false;
    }
    if (!has_code(error, "conflict")) {
      throw error;
    }
    return false;
  }
}

export interface AppendEachTask {
  root: string;
  format: FileSessionFormat;
  sessions: string[];
  name: string;
  out_of_sight?: boolean;
}

/** Appends one message to each session, all at once; says `begun`, and `stored {id}` as each is. */
export async function append_each({ sessions, name, ...where }: AppendEachTask): Promise<void> {
  const store = open_store(where);
  say("begun");
  await Promise.all(
    sessions.map(async (id) => {
      for (let is_done = false; !is_done;) {
        try {
          is_done = await append_once(store, id, name_of(name, 0), false);
          if (is_done) {
            say("stored", id);
          }
        } catch (error) {
          say(has_code(error, "not_found") ? "gone" : "error", id, String(error));
          is_done = true;
        }
      }
    }),
  );
}
