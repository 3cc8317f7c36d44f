import { basename } from "node:path";
import { SessionError } from "../../../src/errors.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { HookedLayer } from "../../stores/file/hooked-layer.js";
import { hear, say } from "./child-io.js";
import { go_out_of_sight } from "./disguise.js";
import { tagged } from "./tags.js";

export type Act = "append" | "append long" | "replace" | "save" | "flush" | "update" | "delete";

/** One session, and what is done to it: up to its nth operation, and the rest when the process hears something. */
export interface Held {
  id: string;
  act: Act;
  before: number;
}

export interface HoldTask {
  root: string;
  format: FileSessionFormat;
  held: Held[];
  out_of_sight?: boolean;
}

export const MINE = "mine:30";
/** So long that a fold begins beside it. */
export const MINE_LONG = "mine:100000";

/**
 * Stops in the midst of a change of each session; says `held {id} {operation}`, `all` when nothing goes on by itself, and
 * `result {id} {outcome}`.
 */
export async function hold({ root, format, held, out_of_sight = false }: HoldTask): Promise<void> {
  if (out_of_sight) {
    go_out_of_sight();
  }
  let go_on: () => void = () => undefined;
  const allowed = new Promise<void>((resolve) => (go_on = resolve));
  let still: () => void = () => undefined;
  let moving = held.length;
  const all_still = new Promise<void>((resolve) => (still = resolve));
  const stop_one = () => {
    moving -= 1;
    if (moving === 0) {
      still();
    }
  };
  const ended = Promise.all(
    held.map(async (one) => {
      let count = 0;
      const layer = new HookedLayer(
        async ({ name, path }) => {
          if (!basename(path).startsWith(`${one.id}.`)) {
            return; // a look at the directory by way of another session
          }
          count += 1;
          if (count === one.before) {
            say("held", one.id, `${name} ${basename(path)}`);
            stop_one();
            await allowed;
          }
        },
        { syncs: false },
      );
      const revision = (await new FileSessionStore(root).load(one.id))?.revision ?? "";
      const outcome = await outcome_of(run(new FileSessionStore(root, { format }, layer), one, revision));
      say("result", one.id, outcome);
      if (count < one.before) {
        stop_one();
      }
    }),
  );
  await all_still;
  say("all");
  await hear();
  go_on();
  await ended;
}

async function run(store: FileSessionStore, { id, act }: Held, revision: string): Promise<unknown> {
  switch (act) {
    case "append":
      return store.append(id, [tagged(MINE)], { revision });
    case "append long":
      await store.append(id, [tagged(MINE_LONG)], { revision });
      return store.flush(id);
    case "replace":
      return store.replace(id, [tagged(MINE)], { revision });
    case "save":
      return store.save(id, [tagged(MINE)]);
    case "flush":
      return store.flush(id);
    case "update":
      return store.update(id, { label: "mine" });
    case "delete":
      return store.delete(id);
  }
}

async function outcome_of(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "done";
  } catch (error) {
    return error instanceof SessionError ? `${error.code} ${error.message}` : String(error);
  }
}
