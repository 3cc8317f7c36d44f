import { EventEmitter } from "node:events";
import type { Conversation } from "./conversation.js";
import type {
  CheckpointState,
  ContentProgress,
  ConversationState,
  LifecycleErrorEvent,
  AssistantMessage,
  MessageProgress,
  Usage,
  UserMessage,
} from "./types.js";

/** The arguments of every event's listeners. `lifecycle_error` is part of the contract; nothing here emits it. */
export interface ConversationEvents {
  state_change: [event: { current: ConversationState; previous: ConversationState }, conversation: Conversation];
  prompt_send: [event: { message: UserMessage }, conversation: Conversation];
  message_start: [event: MessageProgress, conversation: Conversation];
  message_update: [event: MessageProgress, conversation: Conversation];
  message_complete: [
    event: {
      request_id: string | undefined;
      message: AssistantMessage;
      usage: Usage;
      stop_reason: string;
      stop_details?: unknown;
    },
    conversation: Conversation,
  ];
  content_start: [event: ContentProgress, conversation: Conversation];
  content_update: [event: ContentProgress, conversation: Conversation];
  content_complete: [event: ContentProgress, conversation: Conversation];
  request_success: [
    data: { request_id: string; message: UserMessage },
    metadata: Record<string, unknown>,
    conversation: Conversation,
  ];
  request_error: [
    event: { request_id: string | undefined; message: UserMessage; error: unknown },
    metadata: Record<string, unknown>,
    conversation: Conversation,
  ];
  before_request: [event: { data: unknown }, conversation: Conversation];
  raw_request: [event: { data: unknown }, conversation: Conversation];
  raw_response: [event: { data: unknown }, conversation: Conversation];
  raw_stream: [event: { data: unknown }, conversation: Conversation];
  checkpoint_begin: [child: Conversation, conversation: Conversation];
  checkpoint_complete: [checkpoint_state: CheckpointState, conversation: Conversation];
  create_child: [child: Conversation, conversation: Conversation];
  child_event: [event: { event_name: keyof ConversationEvents; event_args: unknown[] }, conversation: Conversation];
  lifecycle_error: [event: LifecycleErrorEvent, conversation: Conversation];
  dispose: [conversation: Conversation];
}

export type EventName = keyof ConversationEvents;
export type Listener<E extends EventName> = (...args: ConversationEvents[E]) => void;

export const EVENT_NAMES = Object.keys({
  state_change: true,
  prompt_send: true,
  message_start: true,
  message_update: true,
  message_complete: true,
  content_start: true,
  content_update: true,
  content_complete: true,
  request_success: true,
  request_error: true,
  before_request: true,
  raw_request: true,
  raw_response: true,
  raw_stream: true,
  checkpoint_begin: true,
  checkpoint_complete: true,
  create_child: true,
  child_event: true,
  lifecycle_error: true,
  dispose: true,
} satisfies Record<EventName, true>) as EventName[];

/** Calls listeners synchronously, in the order added. An error of a listener skips later listeners and is thrown. */
export class Events {
  readonly #emitter = new EventEmitter().setMaxListeners(0);

  on<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#emitter.on(event, listener as (...args: unknown[]) => void);
  }

  once<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#emitter.once(event, listener as (...args: unknown[]) => void);
  }

  off<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#emitter.off(event, listener as (...args: unknown[]) => void);
  }

  emit<E extends EventName>(event: E, ...args: ConversationEvents[E]): void {
    this.#emitter.emit(event, ...args);
  }

  /** Calls `forward` at every event, before the listeners that are added later. */
  forward(forward: (event: EventName, args: unknown[]) => void): void {
    for (const name of EVENT_NAMES) this.#emitter.on(name, (...args: unknown[]) => forward(name, args));
  }

  clear(): void {
    this.#emitter.removeAllListeners();
  }
}
