import { setTimeout as sleep } from "node:timers/promises";
import { has_code, SessionError } from "../../../src/errors.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/snapshot-form.js";
import { seeded_random } from "../../support/random.js";
import { say } from "./child-io.js";
import { disguised } from "./disguise.js";
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
  const { root, format, name, first, count, pause_ms = 0, out_of_sight = false } = task;
  const store = new FileSessionStore(root, { format }, out_of_sight ? disguised() : undefined);
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

export function session_of({ sessions, seed }: Pick<AppendTask, "sessions" | "seed">, n: number): string {
  return seeded_random(seed + n).pick(sessions);
}

async function append_once(store: FileSessionStore, id: string, tag: string, may_be_there: boolean): Promise<boolean> {
  const session = await store.load(id);
  if (may_be_there && session?.messages.some((message) => message.id === tag)) {
    return true;
  }
  try {
    await store.append(id, [tagged(tag)], { revision: session?.revision ?? "" });
    return true;
  } catch (error) {
    if (!has_code(error, "conflict")) {
      throw error;
    }
    if (error instanceof SessionError && error.message.includes("taken over")) {
      say("broken", tag);
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
export async function append_each({ root, format, sessions, name, out_of_sight }: AppendEachTask): Promise<void> {
  const store = new FileSessionStore(root, { format }, out_of_sight ? disguised() : undefined);
  say("begun");
  await Promise.all(
    sessions.map(async (id) => {
      for (let is_stored = false; !is_stored;) {
        try {
          is_stored = await append_once(store, id, name_of(name, 0), false);
          if (is_stored) {
            say("stored", id);
          }
        } catch (error) {
          say(has_code(error, "not_found") ? "gone" : "error", id, String(error));
          is_stored = true;
        }
      }
    }),
  );
}
