import {
  AwaitingProvider,
  type Conversation,
  next_reply,
  StreamingProvider,
  type AssistantMessage,
  type EventName,
} from "@simulacra-ai/core";
import { expect } from "vitest";

/** Both ways in which a provider may stream. */
export const PROVIDERS = [
  ["AwaitingProvider", AwaitingProvider],
  ["StreamingProvider", StreamingProvider],
] as const;

const NAMES: EventName[] = [
  "state_change",
  "prompt_send",
  "message_start",
  "message_update",
  "message_complete",
  "content_start",
  "content_update",
  "content_complete",
  "request_success",
  "request_error",
  "before_request",
  "raw_request",
  "checkpoint_begin",
  "checkpoint_complete",
  "create_child",
  "dispose",
];

/** Every event in order as `name state stored`, with the state and number of stored messages at that moment. */
export function log_of(conversation: Conversation): string[] {
  const log: string[] = [];
  for (const name of NAMES) {
    conversation.on(name, (...args: unknown[]) => {
      expect(args.at(-1)).toBe(conversation);
      log.push(`${name} ${conversation.state} ${conversation.messages.length}`);
    });
  }
  return log;
}

export async function ask(conversation: Conversation, text = "hello"): Promise<AssistantMessage> {
  const [reply] = await Promise.all([next_reply(conversation), conversation.prompt(text)]);
  return reply;
}

/** Lets all that is due now happen. */
export const round = () => new Promise((resolve) => setImmediate(resolve));
