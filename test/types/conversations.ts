// Conversations that a manager accepts: compiled by `npm run typecheck`, never run.
import {
  Conversation,
  type CheckpointState,
  type ConversationState,
  type Message,
  type ModelProvider,
} from "@simulacra-ai/core";
import { InMemorySessionStore, SessionManager, type SessionConversation } from "@simulacra-ai/session";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as test doubles in applications have it
type AnyListener = (...args: any[]) => void;

const STORE = new InMemorySessionStore();

/** One array that is changed in place, and listeners typed as loosely as can be. */
export const least = {
  messages: [] as Message[],
  load(messages: Message[]) {
    this.messages = messages;
  },
  clear() {
    this.messages = [];
  },
  on(_event: string, _listener: AnyListener) {},
  off(_event: string, _listener: AnyListener) {},
};

export const with_state = {
  ...least,
  state: "idle" as ConversationState,
  checkpoint_state: undefined as CheckpointState | undefined,
  is_checkpoint: false,
};

export const with_nothing_declared = {
  messages: [],
  load: () => {},
  clear: () => {},
  on: () => {},
  off: () => {},
};

/** A class with accessors, frozen messages, and listeners by event. */
export class OwnConversation {
  readonly #listeners = new Map<string, Set<AnyListener>>();
  #messages: readonly Readonly<Message>[] = Object.freeze([]);
  checkpoint_state?: CheckpointState;

  get messages(): readonly Readonly<Message>[] {
    return this.#messages;
  }

  get state(): "idle" | "streaming_response" {
    return "idle";
  }

  load(messages: readonly Message[]): void {
    this.#messages = Object.freeze([...messages]);
  }

  clear(): void {
    this.#messages = [];
  }

  on(event: string, listener: AnyListener): this {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(listener));
    return this;
  }

  off(event: string, listener: AnyListener): this {
    this.#listeners.get(event)?.delete(listener);
    return this;
  }
}

/** Event by event, as the engine types them. */
export const engine_listeners: Pick<Conversation, "messages" | "load" | "clear" | "on" | "off"> = least;

export function managers(provider: ModelProvider): SessionManager[] {
  const conversation = new Conversation(provider);
  const child = conversation.spawn_child(true);
  const accepted: SessionConversation[] = [
    conversation,
    child,
    least,
    with_state,
    with_nothing_declared,
    new OwnConversation(),
    engine_listeners,
  ];
  return [
    new SessionManager(STORE, conversation),
    new SessionManager(STORE, least),
    new SessionManager(STORE, with_state),
    new SessionManager(STORE, with_nothing_declared),
    new SessionManager(STORE, new OwnConversation()),
    ...accepted.map((each) => new SessionManager(STORE, each)),
  ];
}

declare const without_clear: Omit<typeof least, "clear">;
// @ts-expect-error a manager has to clear it
new SessionManager(STORE, without_clear);
declare const without_messages: Omit<typeof least, "messages">;
// @ts-expect-error a manager has to read its messages
new SessionManager(STORE, without_messages);
// @ts-expect-error messages are those of the engine
new SessionManager(STORE, { ...least, messages: ["hello"] });
// @ts-expect-error states are those of the engine
new SessionManager(STORE, { ...least, state: "busy" });
// @ts-expect-error messages are loaded at once
new SessionManager(STORE, { ...least, load: (message: string) => message });
