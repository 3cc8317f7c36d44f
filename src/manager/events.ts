import { EventEmitter } from "node:events";
import process from "node:process";
import type { LifecycleErrorEvent } from "@simulacra-ai/core";
import { is_error, printable, reason_of } from "../errors.js";
import type { SessionDraft } from "../types.js";
import type { Messages } from "../messages.js";
import type { SessionManagerEvents } from "./types.js";

/** Operations that are tried again. The failure of one counts until that operation succeeds. */
type Retried = "save" | "draft" | "rename" | "flush";

const RETRIED: ReadonlySet<string> = new Set<Retried>(["save", "draft", "rename", "flush"]);

/** Failures of a manager and its children that are not made good. */
export class Failures {
  /** By operation and session, the newest last. */
  readonly #left = new Map<string, unknown>();

  get newest(): unknown {
    return [...this.#left.values()].at(-1);
  }

  /** Notes a failure. One of an operation that nobody repeats counts until the next save that succeeds. */
  note(operation: string, session_id: unknown, error: unknown): void {
    const key = key_of(operation, session_id);
    this.#left.delete(key);
    this.#left.set(key, error);
  }

  made_good(operation: Retried, session_id: string): void {
    this.#left.delete(key_of(operation, session_id));
    if (operation === "save") {
      this.#left.delete(key_of("", undefined));
    }
  }

  /** Drops the failures of a session that is deleted, or that belongs to another writer now. */
  forget(session_id: string): void {
    for (const operation of RETRIED) {
      this.#left.delete(key_of(operation, session_id));
    }
  }

  /** Runs a task and notes its outcome. */
  async watch<T>(operation: Retried, session_id: string, task: () => Promise<T>): Promise<T> {
    try {
      const result = await task();
      this.made_good(operation, session_id);
      return result;
    } catch (error) {
      this.note(operation, session_id, error);
      throw error;
    }
  }
}

function key_of(operation: string, session_id: unknown): string {
  return RETRIED.has(operation) ? `${operation} ${String(session_id)}` : "";
}

/** The manager's own events. A listener that throws or rejects harms nobody. An error that nobody hears is a warning. */
export class ManagerEvents {
  readonly #events = new EventEmitter({ captureRejections: false }).setMaxListeners(0);
  readonly #parent: ManagerEvents | undefined;
  /** Shared with the parent. */
  readonly failures: Failures;
  #warned = false;

  /** With a parent, errors are reported there. */
  constructor(parent?: ManagerEvents) {
    this.#parent = parent;
    this.failures = parent?.failures ?? new Failures();
  }

  on<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): void {
    this.#events.on(event, listener);
  }

  off<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): void {
    this.#events.off(event, listener);
  }

  emit<E extends keyof SessionManagerEvents>(event: E, ...args: SessionManagerEvents[E]): void {
    for (const listener of this.#events.rawListeners(event)) {
      try {
        const result: unknown = Reflect.apply(listener, undefined, args);
        if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
          Promise.resolve(result).catch((error: unknown) => this.#listener_failed(event, error));
        }
      } catch (error) {
        this.#listener_failed(event, error);
      }
    }
  }

  /** Reports a failure that no caller waits for, and counts it as the newest. */
  report(error: unknown, operation: string, context: Record<string, unknown> = {}): void {
    this.failures.note(operation, context["session_id"], error);
    this.tell(error, operation, context);
  }

  /** Emits `lifecycle_error` for something that the manager itself has not failed to do. */
  tell(error: unknown, operation: string, context: Record<string, unknown> = {}): void {
    if (this.#parent !== undefined) {
      return this.#parent.tell(error, operation, context);
    }
    const event: LifecycleErrorEvent = { error, operation, context };
    if (this.#events.listenerCount("lifecycle_error") > 0) {
      this.emit("lifecycle_error", event);
    } else {
      this.#warn(event);
    }
  }

  #listener_failed(event: keyof SessionManagerEvents, error: unknown): void {
    if (event === "lifecycle_error") {
      this.#warn({ error, operation: `listener of ${event}` });
    } else {
      this.tell(error, `listener of ${event}`);
    }
  }

  #warn({ error, operation, context }: LifecycleErrorEvent): void {
    if (this.#warned) {
      return;
    }
    this.#warned = true;
    const id = typeof context?.["session_id"] === "string" ? ` of session ${context["session_id"]}` : "";
    const reason = reason_of(error);
    process.emitWarning(
      printable(
        `${operation}${id} failed: ${reason}. Listen to "lifecycle_error" of the SessionManager to hear of every failure.`,
      ),
      { type: "SessionWarning", detail: is_error(error) ? (error.stack ?? "") : "" },
    );
  }
}

type MessagesEvent = Readonly<{ id: string; messages: Messages; draft?: SessionDraft }>;

/** Returns an event about a session. Its messages are read when a listener asks for them, which costs O(messages). */
export function messages_event(id: string, read: () => Messages, draft?: SessionDraft): MessagesEvent {
  return new LazyMessagesEvent(id, read, draft);
}

/** One getter serves all events. With one getter each, the engine would keep every event until a full collection. */
class LazyMessagesEvent implements MessagesEvent {
  readonly id: string;
  declare readonly messages: Messages;
  declare readonly draft?: SessionDraft;
  #read: (() => Messages) | undefined;
  #messages: Messages = [];

  static readonly #lazy_messages: PropertyDescriptor & ThisType<LazyMessagesEvent> = {
    enumerable: true,
    get() {
      if (this.#read !== undefined) {
        this.#messages = frozen_messages(this.#read());
        this.#read = undefined;
      }
      return this.#messages;
    },
  };

  constructor(id: string, read: () => Messages, draft: SessionDraft | undefined) {
    this.id = id;
    this.#read = read;
    Object.defineProperty(this, "messages", LazyMessagesEvent.#lazy_messages);
    if (draft !== undefined) {
      this.draft = draft;
    }
    Object.freeze(this);
  }
}

/** Returns a frozen array of frozen messages. Messages that are not frozen are copied, and never frozen themselves. */
function frozen_messages(messages: Messages): Messages {
  return Object.freeze(messages.map((message) => (Object.isFrozen(message) ? message : Object.freeze({ ...message }))));
}
