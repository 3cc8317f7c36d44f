import { EventEmitter } from "node:events";
import process from "node:process";
import type { LifecycleErrorEvent } from "@simulacra-ai/core";
import { is_error, printable, reason_of } from "../errors.js";
import type { SessionDraft } from "../types.js";
import type { Messages } from "../messages.js";
import type { SessionManagerEvents } from "./types.js";

/** A failure of these operations counts until the same operation succeeds for the same session. */
const TRACKED = ["save", "draft", "rename", "flush"] as const;

type Tracked = (typeof TRACKED)[number];

function key_of(operation: string, session_id: unknown): string {
  return (TRACKED as readonly string[]).includes(operation) ? `${operation} ${String(session_id)}` : "";
}

/**
 * The manager's own events, and the failures that still count. An error of a listener is reported and stops nothing. An
 * error without a listener becomes a process warning. Only `lifecycle_error` reaches the parent: a child's other events
 * reach no listener of the application.
 */
export class ManagerEvents {
  readonly emitter = new EventEmitter().setMaxListeners(0);
  readonly #parent: ManagerEvents | undefined;
  /** The failures by operation and session, the newest last. Shared with the parent. */
  readonly #failures: Map<string, unknown>;
  #warned = false;

  constructor(parent?: ManagerEvents) {
    this.#parent = parent;
    this.#failures = parent ? parent.#failures : new Map<string, unknown>();
  }

  get newest_failure(): unknown {
    return [...this.#failures.values()].at(-1);
  }

  /** Notes a failure. The failure of an operation that is not tracked counts until the next successful save. */
  note_failure(operation: string, session_id: unknown, error: unknown): void {
    const key = key_of(operation, session_id);
    this.#failures.delete(key);
    this.#failures.set(key, error);
  }

  /** Clears the failure of an operation that succeeded. A save also clears the failure of untracked operations. */
  clear_failure(operation: Tracked, session_id: string): void {
    this.#failures.delete(key_of(operation, session_id));
    if (operation === "save") {
      this.#failures.delete(key_of("", undefined));
    }
  }

  /** Drops the failures of a session that was deleted, or that belongs to another writer now. */
  forget_failures(session_id: string): void {
    TRACKED.forEach((operation) => this.#failures.delete(key_of(operation, session_id)));
  }

  async watch(operation: Tracked, session_id: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
      this.clear_failure(operation, session_id);
    } catch (error) {
      this.note_failure(operation, session_id, error);
      throw error;
    }
  }

  emit<E extends keyof SessionManagerEvents>(event: E, ...args: SessionManagerEvents[E]): void {
    for (const listener of this.emitter.rawListeners(event)) {
      try {
        const result: unknown = Reflect.apply(listener, undefined, args);
        Promise.resolve(result).catch((error: unknown) => this.#listener_failed(event, error));
      } catch (error) {
        this.#listener_failed(event, error);
      }
    }
  }

  /** Notes a failure and emits `lifecycle_error`. */
  report_failure(error: unknown, operation: string, context: Record<string, unknown> = {}): void {
    this.note_failure(operation, context["session_id"], error);
    this.emit_error(error, operation, context);
  }

  /** Emits `lifecycle_error` without noting a failure. */
  emit_error(error: unknown, operation: string, context: Record<string, unknown> = {}): void {
    if (this.#parent) {
      return this.#parent.emit_error(error, operation, context);
    }
    const event: LifecycleErrorEvent = { error, operation, context };
    if (this.emitter.listenerCount("lifecycle_error") > 0) {
      this.emit("lifecycle_error", event);
    } else {
      this.#warn(event);
    }
  }

  #listener_failed(event: keyof SessionManagerEvents, error: unknown): void {
    const operation = `listener of ${event}`;
    return event === "lifecycle_error" ? this.#warn({ error, operation }) : this.emit_error(error, operation);
  }

  #warn({ error, operation, context }: LifecycleErrorEvent): void {
    if (this.#warned) {
      return;
    }
    this.#warned = true;
    const id = typeof context?.["session_id"] === "string" ? ` of session ${context["session_id"]}` : "";
    const advice = `Listen to "lifecycle_error" of the SessionManager to hear of every failure.`;
    process.emitWarning(printable(`${operation}${id} failed: ${reason_of(error)}. ${advice}`), {
      type: "SessionWarning",
      detail: is_error(error) ? (error.stack ?? "") : "",
    });
  }
}

/**
 * Implements `SessionSnapshot` and `LoadEvent`. The messages are read when a listener asks, which costs O(messages).
 *
 * Hazard: with a getter for each event, V8 would keep every event until a full collection. So all events share one.
 */
export class MessagesEvent {
  readonly id: string;
  declare readonly messages: Messages;
  declare readonly draft?: SessionDraft;
  #messages: Messages | (() => Messages);

  static readonly #lazy_messages: PropertyDescriptor & ThisType<MessagesEvent> = {
    enumerable: true,
    get() {
      if (typeof this.#messages === "function") {
        this.#messages = frozen_messages(this.#messages());
      }
      return this.#messages;
    },
  };

  constructor(id: string, read: () => Messages, draft?: SessionDraft) {
    this.id = id;
    this.#messages = read;
    Object.defineProperty(this, "messages", MessagesEvent.#lazy_messages);
    if (draft) {
      this.draft = draft;
    }
    Object.freeze(this);
  }
}

/** Returns a frozen array of frozen messages. Copies the ones that are not frozen: the application may edit them. */
function frozen_messages(messages: Messages): Messages {
  return Object.freeze(messages.map((message) => (Object.isFrozen(message) ? message : Object.freeze({ ...message }))));
}
