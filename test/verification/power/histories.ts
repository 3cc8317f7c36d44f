import { SessionManager, type SessionStore } from "@simulacra-ai/session";
import { PlainConversation } from "../../support/plain-conversation.js";
import { words_of } from "./manager-program.js";

/** What a manager said it has stored: the first word of each message, inherited ones included. */
export interface SavedHistory {
  id: string;
  words: string[];
}

/**
 * Every history that was acknowledged is there, at least as the beginning of one, and whatever is there can be read.
 * Returns what is not so, a line each.
 */
export async function lost_histories(store: SessionStore, saved: readonly SavedHistory[]): Promise<string[]> {
  const found: string[] = [];
  const losses: string[] = [];
  for (const { id } of await store.list()) {
    try {
      found.push(line_of(await history_of(store, id)));
    } catch (error) {
      losses.push(`${id}: ${String(error)}`);
    }
  }
  for (const { id, words } of saved) {
    if (words.length > 0 && !found.some((other) => other.startsWith(line_of(words)))) {
      losses.push(`${id}: ${line_of(words).slice(-200)}is not there`);
    }
  }
  return losses;
}

/** No word is the beginning of another. */
function line_of(words: readonly string[]): string {
  return words.map((word) => `${word} `).join("");
}

/** What a manager of its own sees of a session: everything, inherited messages included. */
async function history_of(store: SessionStore, id: string): Promise<string[]> {
  const conversation = new PlainConversation();
  const manager = new SessionManager(store, conversation, { auto_save: false });
  const errors: unknown[] = [];
  manager.on("lifecycle_error", ({ error }) => errors.push(error));
  await manager.load(id);
  manager[Symbol.dispose]();
  if (errors.length > 0) {
    throw new Error("the history is not whole", { cause: errors[0] });
  }
  return words_of(conversation.messages);
}
