import { SessionManager } from "../../../src/manager/session-manager.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import { seeded_random } from "../../support/random.js";
import { say } from "./child-io.js";
import { history_checksum } from "./history-checksum.js";
import { tag_of, tagged } from "./tags.js";

export interface ConverseTask {
  root: string;
  format: FileSessionFormat;
  sessions: string[];
  name: string;
  seed: number;
  first: number;
  count: number;
  /** So often it loads a session anew, and meets the others again. */
  load_every: number;
}

/**
 * Speaks in sessions through a manager. Says `turn {n}` before each turn, `stored {id} {messages} {checksum} {tag}` when
 * a state is stored, `conflict {id} {fork}`, and `ended` when everything is.
 */
export async function converse(task: ConverseTask): Promise<void> {
  const random = seeded_random(task.seed + task.first);
  const conversation = new PlainConversation();
  const store = new FileSessionStore(task.root, { format: task.format });
  const manager = new SessionManager(store, conversation, { auto_slug: false });
  manager.on("lifecycle_error", ({ error }) => say("error", String(error)));
  manager.on("conflict", ({ id, fork_id }) => say("conflict", id, fork_id));
  let is_stored: () => void = () => undefined;
  manager.on("save", ({ id, messages }) => {
    is_stored();
    const tags = messages.map(tag_of);
    say("stored", id, tags.length, history_checksum(tags), tags.at(-1) ?? "");
  });
  for (let n = task.first; n < task.count; n += 1) {
    if (n === task.first || n % task.load_every === 0) {
      await manager.load(random.pick(task.sessions));
    }
    say("turn", n);
    conversation.messages.push(tagged(`${task.name}.${n}q:${20 + (n % 200)}`), tagged(`${task.name}.${n}a:40`));
    conversation.emit("message_complete");
    const stored = new Promise<void>((resolve) => (is_stored = resolve));
    const how = random.below(4);
    if (how === 0) {
      await manager.save();
    } else if (how === 1) {
      await manager.flush();
    } else if (how === 2) {
      await stored;
    }
  }
  await manager[Symbol.asyncDispose]();
  say("ended");
}
