import { replay, type Conversation } from "./conversation.js";
import { next_reply } from "./next-reply.js";
import type { ScriptedProvider } from "./scripted-provider.js";
import type { AssistantMessage, Message, UserMessage } from "./types.js";

export interface RecordedTurn {
  user: UserMessage[];
  assistant: AssistantMessage[];
}

/**
 * Splits a recording into turns: a run of user messages and the run of assistant messages that follows. Only the
 * last turn may be without an answer. Throws where the recording does not begin with a user message.
 */
export function recorded_turns(messages: readonly Message[]): RecordedTurn[] {
  const turns: RecordedTurn[] = [];
  for (const message of messages) {
    const turn = turns.at(-1);
    if (message.role === "assistant") {
      if (!turn) throw new Error("a recording begins with a user message");
      turn.assistant.push(message);
    } else if (turn?.assistant.length === 0) {
      turn.user.push(message);
    } else {
      turns.push({ user: [message], assistant: [] });
    }
  }
  return turns;
}

/**
 * Runs a recorded turn through the engine, and waits for its end. All its messages are stored together, exactly as
 * recorded; `prompt_send` tells of the last user message and `message_complete` of the last assistant message.
 * `provider` is the conversation's own.
 *
 * The engine stores no prompt without a reply, so a turn without an answer, which must be the last, is loaded.
 */
export async function replay_turn(
  conversation: Conversation,
  provider: ScriptedProvider,
  { user, assistant }: RecordedTurn,
): Promise<void> {
  const reply = assistant.at(-1);
  if (!reply) {
    conversation.load([...conversation.messages, ...user]);
    return;
  }
  if (conversation.state !== "idle") throw new Error("invalid state");
  const { role: _role, ...step } = reply;
  provider.enqueue(step);
  await Promise.all([next_reply(conversation), conversation[replay](user, assistant.slice(0, -1))]);
}
