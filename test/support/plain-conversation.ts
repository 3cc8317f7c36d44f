import type { CheckpointState, ConversationState, EventName, Listener, Message } from "@simulacra-ai/core";
import { assistant, user } from "./messages.js";

type AnyListener = (...args: unknown[]) => void;

/**
 * A conversation as users' tests have one: a plain object with one array that is changed in place, messages without
 * ids, and events that are emitted by hand, with a payload or without.
 */
export class PlainConversation {
  readonly messages: Message[] = [];
  state?: ConversationState;
  checkpoint_state?: CheckpointState | undefined;
  is_checkpoint?: boolean;
  readonly #listeners = new Map<string, AnyListener[]>();

  /** Copies deeply, as through JSON. */
  load(messages: readonly Message[]): void {
    this.messages.splice(0, Infinity, ...structuredClone(messages));
  }

  clear(): void {
    this.messages.length = 0;
  }

  on<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#listeners.set(event, [...this.#listeners_of(event), listener as unknown as AnyListener]);
  }

  off<E extends EventName>(event: E, listener: Listener<E>): void {
    const others = this.#listeners_of(event).filter((other) => other !== (listener as unknown));
    this.#listeners.set(event, others);
  }

  emit(event: EventName, ...args: unknown[]): void {
    for (const listener of this.#listeners_of(event)) {
      Reflect.apply(listener, undefined, args);
    }
  }

  get listener_count(): number {
    return [...this.#listeners.values()].flat().length;
  }

  /** A whole turn; the event has a payload only where one is given. */
  turn(text: string, reply = `re: ${text}`, payload?: unknown): void {
    this.messages.push(user(text), assistant(reply));
    this.emit("message_complete", ...(payload === undefined ? [] : [payload]));
  }

  /** Begins a child, as `spawn_child` does. */
  spawn(child = new PlainConversation()): PlainConversation {
    this.emit("create_child", child, this);
    return child;
  }

  #listeners_of(event: string): AnyListener[] {
    return this.#listeners.get(event) ?? [];
  }
}
