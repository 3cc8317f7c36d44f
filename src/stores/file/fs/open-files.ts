import { Slots } from "../../../async/slots.js";
import type { FileLayer } from "./file-layer.js";

/** The most tasks of each kind at a time. A task opens one to three files. */
const MOST_TASKS = { sessions: 64, drafts: 32, compactions: 8 };

/** Drafts and compactions have turns of their own: the change of a session may wait for both, and never the other way round. */
type Kind = keyof typeof MOST_TASKS;

const slots_of = /* @__PURE__ */ new WeakMap<FileLayer, Record<Kind, Slots>>();

/**
 * Runs a task that opens files. All stores of a process share one layer, and so the limit of the files that are open.
 *
 * Hazard: a task that waited for a second turn, or for somebody who waits for one, would never end if all tasks did. So
 * nothing that runs in a turn asks for another one of the same kind.
 */
export function with_open_files<T>(layer: FileLayer, task: () => Promise<T>, kind: Kind = "sessions"): Promise<T> {
  let slots = slots_of.get(layer);
  if (!slots) {
    const { sessions, drafts, compactions } = MOST_TASKS;
    slots = { sessions: new Slots(sessions), drafts: new Slots(drafts), compactions: new Slots(compactions) };
    slots_of.set(layer, slots);
  }
  return slots[kind].run(task);
}
