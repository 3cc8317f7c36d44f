import { Slots } from "../../../async/slots.js";
import type { FileLayer } from "./file-layer.js";

/** A task opens two or three files. */
const MOST_TASKS = 100;

const slots_of = /* @__PURE__ */ new WeakMap<FileLayer, Slots>();

/**
 * Runs a task that opens files. All stores of a process share one layer, and so the limit of the files that are open.
 *
 * Hazard: a task that waited for a second turn, or for somebody who waits for one, would never end if all tasks did. So a
 * change that a task makes takes no turn of its own (`change_within`).
 */
export function with_open_files<T>(layer: FileLayer, task: () => Promise<T>): Promise<T> {
  let slots = slots_of.get(layer);
  if (slots === undefined) {
    slots = new Slots(MOST_TASKS);
    slots_of.set(layer, slots);
  }
  return slots.run(task);
}
