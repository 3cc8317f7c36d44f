import type { SessionStore } from "@simulacra-ai/session";
import { BACKENDS, each_backend, FOR_MANAGERS, keeps_files, offers, type Backend } from "../backends.js";
import { texts } from "./messages.js";
import { open_plain, open_recording, record_of } from "./open-session.js";

/** The file store in both its forms; the file that holds a session's messages ends with `extension`. */
export function each_file_store(define: (backend: Backend, extension: string) => void): void {
  each_backend((backend) => define(backend, backend.extension ?? ""), keeps_files, BACKENDS);
}

/** Every store that notices another writer. */
export function each_watchful_store(define: (backend: Backend) => void): void {
  each_backend(define, (backend) => is_for_managers(backend) && offers("append")(backend), BACKENDS);
}

/** Those, and one with the four basic methods alone. */
export function each_store(define: (backend: Backend) => void): void {
  each_backend(define, is_for_managers, BACKENDS);
}

/** Both forms of files, where one is enough for other tests. */
function is_for_managers(backend: Backend): boolean {
  return FOR_MANAGERS.includes(backend) || keeps_files(backend);
}

/** What a manager of its own sees of a session: everything, inherited messages included. */
export async function history_of(store: SessionStore, id: string): Promise<string[] | undefined> {
  const { manager, conversation, errors } = open_plain(store, { auto_save: false });
  await manager.load(id);
  manager[Symbol.dispose]();
  if (errors.length > 0) {
    throw new Error("the history is not whole", { cause: errors[0]?.error });
  }
  return texts(conversation.messages);
}

/** The texts of `PlainConversation.turn`. */
export function said(...prompts: string[]): string[] {
  return prompts.flatMap((prompt) => [prompt, `re: ${prompt}`]);
}

/** All ids in a store but these. */
export async function others_than(store: SessionStore, ...known: (string | undefined)[]): Promise<string[]> {
  return (await store.list()).map(({ id }) => id).filter((id) => !known.includes(id));
}

/** The session that is there beside the known ones, which has to be one. */
export async function only_other(store: SessionStore, ...known: (string | undefined)[]) {
  const [id, ...more] = await others_than(store, ...known);
  if (id === undefined || more.length > 0) {
    throw new Error(`${id === undefined ? "no" : "more than one"} other session`);
  }
  return { ...(await record_of(store, id)), id, history: await history_of(store, id) };
}

/** A stored session of these turns, in a manager. */
export async function open_with_turns(backend: Backend, prompts: string[], options = {}) {
  const store = await open_recording(backend);
  const opened = open_plain(store, options);
  const id = opened.manager.start_new();
  for (const prompt of prompts) {
    opened.conversation.turn(prompt);
  }
  if (opened.manager.is_loaded) {
    await opened.manager.save();
  }
  return { store, id, ...opened };
}

/** A fork of a session after its first `count` messages, with a turn of its own. */
export async function fork_after(store: SessionStore, parent_id: string, count: number, prompt: string) {
  const parent = open_plain(store, { auto_save: false });
  await parent.manager.load(parent_id);
  const inherited = parent.conversation.messages.slice(0, count);
  const id = `${prompt}-fork`;
  await store.save(
    id,
    [
      { role: "user", content: [{ type: "text", text: prompt }] },
      { role: "assistant", content: [{ type: "text", text: `re: ${prompt}` }] },
    ],
    {
      kind: "fork",
      parent_id,
      fork_message_count: count,
      ...(inherited.at(-1)?.id !== undefined && { fork_message_id: inherited.at(-1)?.id as string }),
    },
  );
  return id;
}
