import { FileSessionStore } from "../../src/index.js";

/** As an application's own module would name its store. */
export function open(place: string): FileSessionStore {
  return new FileSessionStore(place);
}
