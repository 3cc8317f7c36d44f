import {
  AwaitingProvider,
  type Conversation,
  EVENT_NAMES,
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

export class Read {
  static get_definition() {
    return { name: "read", description: "", parameters: {} };
  }
  async execute() {
    return { result: true as const };
  }
}

const UNLOGGED: EventName[] = ["raw_response", "raw_stream", "child_event"];

/** Logs events in order as `name state stored`, with the state and number of stored messages at that moment. */
export function log_of(conversation: Conversation): string[] {
  const log: string[] = [];
  for (const name of EVENT_NAMES.filter((name) => !UNLOGGED.includes(name))) {
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
