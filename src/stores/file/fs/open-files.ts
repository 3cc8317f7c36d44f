import { Slots } from "../../../async/slots.js";
import type { FileLayer } from "./file-layer.js";

/** The most tasks of each kind at a time. A task opens one to three files. */
const MOST_TASKS = 64;

/** Drafts have turns of their own: the change of a session may wait for a draft, and never the other way round. */
type Kind = "sessions" | "drafts";

const slots_of = /* @__PURE__ */ new WeakMap<FileLayer, Record<Kind, Slots>>();

/**
 * Runs a task that opens files. All stores of a process share one layer, and so the limit of the files that are open.
 *
 * Hazard: a task that waited for a second turn, or for somebody who waits for one, would never end if all tasks did. So
 * nothing that runs in a turn asks for another one of the same kind.
 */
export function with_open_files<T>(layer: FileLayer, task: () => Promise<T>, kind: Kind = "sessions"): Promise<T> {
  let slots = slots_of.get(layer);
  if (slots === undefined) {
    slots = { sessions: new Slots(MOST_TASKS), drafts: new Slots(MOST_TASKS) };
    slots_of.set(layer, slots);
  }
  return slots[kind].run(task);
}
