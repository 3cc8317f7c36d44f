import { is_error, reason_of } from "../errors.js";
import { EventEmitter } from "node:events";
import process from "node:process";
import type { LifecycleErrorEvent } from "@simulacra-ai/core";
import { Failures } from "./failures.js";
import type { SessionManagerEvents } from "./types.js";

/** The manager's own events. A listener that throws harms nobody; an error that nobody hears becomes one warning. */
export class ManagerEmitter {
  readonly #events = new EventEmitter({ captureRejections: false }).setMaxListeners(0);
  readonly #parent: ManagerEmitter | undefined;
  /** Those of a parent are those of its children. */
  readonly failures: Failures;
  #warned = false;

  /** With a parent, errors are reported there. */
  constructor(parent?: ManagerEmitter) {
    this.#parent = parent;
    this.failures = parent?.failures ?? new Failures();
  }

  on<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): void {
    this.#events.on(event, listener);
  }

  off<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): void {
    this.#events.off(event, listener);
  }

  has_listeners(event: keyof SessionManagerEvents): boolean {
    return this.#events.listenerCount(event) > 0;
  }

  emit<E extends keyof SessionManagerEvents>(event: E, ...args: SessionManagerEvents[E]): void {
    for (const listener of this.#events.rawListeners(event)) {
      try {
        Reflect.apply(listener, undefined, args);
      } catch (error) {
        this.#listener_failed(event, error);
      }
    }
  }

  report(error: unknown, operation: string, context: Record<string, unknown> = {}): void {
    this.failures.note(operation, context["session_id"], error);
    if (this.#parent !== undefined) {
      return this.#parent.report(error, operation, context);
    }
    const event: LifecycleErrorEvent = { error, operation, context };
    if (this.has_listeners("lifecycle_error")) {
      this.emit("lifecycle_error", event);
    } else {
      this.#warn(event);
    }
  }

  #listener_failed(event: keyof SessionManagerEvents, error: unknown): void {
    if (event === "lifecycle_error") {
      this.#warn({ error, operation: `listener of ${event}` });
    } else {
      this.report(error, `listener of ${event}`);
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
      `${operation}${id} failed: ${reason}. Listen to "lifecycle_error" of the SessionManager to hear of every failure.`,
      { type: "SessionWarning", detail: is_error(error) ? (error.stack ?? "") : "" },
    );
  }
}
