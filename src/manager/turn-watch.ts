import type { SessionConversation } from "./types.js";

type Listener = (...args: unknown[]) => void;

/**
 * Knows whether a turn of a conversation is in flight: from `prompt_send` (the state still says idle then) until
 * it ends in whatever way: answered, failed, cancelled, or the conversation disposed.
 */
export class TurnWatch {
  readonly #conversation: SessionConversation;
  readonly #on_end: () => void;
  readonly #waiting = new Set<() => void>();
  #sent = false;
  #gone = false;

  /** `on_end` is called wherever a turn may have ended. */
  constructor(conversation: SessionConversation, on_end: () => void) {
    this.#conversation = conversation;
    this.#on_end = on_end;
  }

  get in_flight(): boolean {
    return !this.#gone && (this.#sent || !is_at_rest(this.#conversation.state));
  }

  /** What to listen to on the conversation. */
  listeners(): [string, Listener][] {
    const ended = () => this.#ended();
    return [
      ["prompt_send", () => void (this.#sent = true)],
      ["state_change", () => is_at_rest(this.#conversation.state) && ended()],
      ["message_complete", ended],
      ["request_error", ended],
      ["dispose", () => ((this.#gone = true), ended())],
    ];
  }

  /** Resolves when no turn is in flight, after the events that its end brings. */
  async ended(): Promise<void> {
    await next_tick_of_the_loop(); // a prompt just sent reaches `prompt_send` only after its transformers
    while (this.in_flight) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
      await next_tick_of_the_loop(); // the state is idle before `message_complete`
    }
  }

  #ended(): void {
    this.#sent = false;
    this.#on_end();
    for (const resolve of this.#waiting) {
      resolve();
    }
    this.#waiting.clear();
  }
}

function is_at_rest(state: SessionConversation["state"]): boolean {
  return state === undefined || state === "idle" || state === "disposed";
}

function next_tick_of_the_loop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
