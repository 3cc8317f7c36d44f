import type { Backend } from "../../backends.js";
import { texts, turns } from "../../support/messages.js";
import { open_plain, open_recording } from "../../support/open-session.js";

/** What `turns` say. */
export const T = (count: number) => texts(turns(count))!;

/** A stored session of three turns with ids, loaded. */
export async function open_loaded(backend: Backend, options = {}) {
  const store = await open_recording(backend);
  await store.save("s", turns(3), { kind: "root", label: "mine", label_source: "user" });
  const opened = open_plain(store, options);
  await opened.manager.load("s");
  return { store, ...opened };
}

/** A root of two turns and a fork of it with one more, loaded. */
export async function open_fork(backend: Backend, metadata: object = { fork_message_id: "a2", fork_message_count: 4 }) {
  const store = await open_recording(backend);
  await store.save("root", turns(2), { kind: "root" });
  await store.save("s", turns(1, "f"), { kind: "fork", parent_id: "root", label: "mine", ...metadata });
  const opened = open_plain(store);
  await opened.manager.load("s");
  return { store, ...opened };
}
