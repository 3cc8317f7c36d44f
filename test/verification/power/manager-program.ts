import { SessionManager, type FileSessionStore, type SessionSnapshot } from "@simulacra-ai/session";
import { assistant, texts, user } from "../../support/messages.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import { seeded_random } from "../../support/random.js";
import type { WriterTask } from "./writer-task.js";

const SIZES = [20, 300, 5_000, 20_000];

/** What is said of a history: the first word of each message, and no two messages begin alike. */
export function words_of(messages: SessionSnapshot["messages"]): string[] {
  return (texts(messages) ?? []).map((text) => text.split(" ", 1)[0] ?? "");
}

/** A conversation at random, of which a manager saves every turn. Acknowledged are whole histories, and what is deleted. */
export async function run_manager(
  { seed, steps }: WriterTask,
  store: FileSessionStore,
  acknowledge: (what: string) => void,
): Promise<void> {
  const { below, pick } = seeded_random(seed);
  const conversation = new PlainConversation();
  const manager = new SessionManager(store, conversation);
  const sessions: string[] = [];
  manager.on("save", ({ id, messages }) => acknowledge([id, ...words_of(messages)].join(" ")));
  manager.on("lifecycle_error", ({ error }) => acknowledge(`failed ${String(error)}`));
  const turn = (name: string) => {
    const text = () => "".padEnd(pick(SIZES), "x");
    conversation.messages.push(user(`${name}q ${text()}`, `${name}q`), assistant(`${name}a ${text()}`, `${name}a`));
    conversation.emit("message_complete");
  };
  const some_message = () => conversation.messages[below(conversation.messages.length)]?.id;

  sessions.push(manager.start_new());
  for (let step = 0; step < steps; step += 1) {
    const choice = below(100);
    const message_id = some_message();
    if (choice < 70 || message_id === undefined) {
      turn(`${step}`);
      if (choice < 60) {
        await manager.save();
      }
    } else if (choice < 76) {
      await manager.rename(manager.current_session_id ?? "", `label ${step}`);
    } else if (choice < 82) {
      await manager.rewind(message_id);
    } else if (choice < 88) {
      await manager.flush();
      await manager.fork(manager.current_session_id ?? "", { message_id });
      sessions.push(manager.current_session_id ?? "");
    } else if (choice < 92) {
      await manager.load(pick(sessions));
    } else if (choice < 96) {
      sessions.push(manager.start_new());
    } else if (sessions.length > 1) {
      const [oldest] = sessions.splice(0, 1);
      acknowledge(`deletes ${oldest}`);
      await manager.delete(oldest ?? "");
      if (!manager.is_loaded) {
        sessions.push(manager.start_new());
      }
    }
  }
  await manager.flush();
}
