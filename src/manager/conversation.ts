import type { AssistantMessage, CheckpointState, Conversation, Message, Usage, UserMessage } from "@simulacra-ai/core";
import { busy, disposed, invalid_state, is_error } from "../errors.js";
import { next_turn } from "../async/timers.js";
import type { Messages } from "../messages.js";
import type { SessionConversation } from "./types.js";

/** The events of a conversation that a manager handles. Payloads may be missing. */
export interface ConversationHandlers {
  prompt_send(prompt: UserMessage): void;
  message_update(partial: Partial<AssistantMessage>): void;
  message_complete(usage: Usage | undefined): void;
  /** A turn begins. The turn is not among the messages yet. */
  turn_began(): void;
  /** A turn may have ended. May be called twice a turn. After a completed turn, `message_complete` follows. */
  turn_may_have_ended(): void;
  create_child(child: Conversation): void;
  checkpoint_begin(child: Conversation | undefined): void;
  checkpoint_complete(state: CheckpointState | undefined): void;
  dispose(): void;
  /** A handler, or the conversation itself, threw. */
  failed(error: unknown, operation: string): void;
}

/** Counters of a conversation at one moment: turns that began or ended, and calls of `start_new()`. */
export interface Epoch {
  turns: number;
  starts: number;
}

/**
 * The conversation of a manager. Everything that changes the conversation is here. The listeners never throw.
 *
 * Hazard: an operation checks that the conversation is idle, waits for the store, and then changes the conversation.
 * Meanwhile a turn may have begun and ended, so that the conversation is idle again. So an operation notes the epoch at
 * its call and compares the epoch before each change.
 */
export class ManagedConversation {
  /** True when the manager is disposed. The conversation may live on. */
  is_disposed = false;
  readonly #conversation: SessionConversation;
  readonly #handlers: ConversationHandlers;
  readonly #listeners = new Map<string, (payload: unknown) => void>();
  readonly #waiting = new Set<() => void>();
  #turns = 0;
  #starts = 0;
  /**
   * `"sending"`: the manager sends a prompt, whose turn has not begun. `"turn"`: a turn has begun, even if the state is
   * idle still. `"ending"`: the state is idle, and `message_complete` may follow at once.
   */
  #phase: "idle" | "sending" | "turn" | "ending" = "idle";

  constructor(conversation: SessionConversation, handlers: ConversationHandlers) {
    this.#conversation = conversation;
    this.#handlers = handlers;
    const reactions: Record<string, (payload: never) => void> = {
      before_request: () => this.#turn_begins(),
      prompt_send: (event?: { message?: UserMessage }) => {
        this.#turn_begins();
        return event?.message && handlers.prompt_send(event.message);
      },
      state_change: (event?: { previous?: string }) =>
        this.#is_state_idle ? this.#state_became_idle(event?.previous === "stopping") : this.#turn_begins(),
      request_error: () => this.#turn_ends(),
      message_update: (event?: { message?: Partial<AssistantMessage> }) =>
        event?.message && handlers.message_update(event.message),
      message_complete: (event?: { usage?: Usage }) => {
        this.#turns += 1; // a plain object emits no other event of a turn
        try {
          handlers.message_complete(event?.usage);
        } finally {
          this.#turn_ends();
        }
      },
      create_child: (child?: Conversation) => child && handlers.create_child(child),
      checkpoint_begin: (child?: Conversation) => handlers.checkpoint_begin(child),
      checkpoint_complete: (state?: CheckpointState) => handlers.checkpoint_complete(state),
      dispose: () => handlers.dispose(),
    };
    for (const [event, react] of Object.entries(reactions)) {
      const listener = (payload: unknown) => this.#guard(event, () => react(payload as never));
      this.#listeners.set(event, listener);
      conversation.on(event, listener);
    }
  }

  /** Reads all messages. A conversation may copy all messages at every read, so read once a turn. */
  get messages(): Messages {
    return this.#conversation.messages;
  }

  get checkpoint_state(): CheckpointState | undefined {
    return this.#conversation.checkpoint_state;
  }

  set checkpoint_state(state: CheckpointState | undefined) {
    if (state || this.#conversation.checkpoint_state) {
      this.#conversation.checkpoint_state = state;
    }
  }

  get is_busy(): boolean {
    return !this.is_disposed && (this.#phase !== "idle" || !this.#is_state_idle);
  }

  get epoch(): Epoch {
    return { turns: this.#turns, starts: this.#starts };
  }

  /** Counts a `start_new()`. Operations that wait fail then. */
  count_start(): void {
    this.#starts += 1;
  }

  /** @throws {SessionError} `invalid_state` if a turn is in flight, or the conversation is disposed. */
  require_idle(): void {
    if (this.#conversation.state === "disposed") {
      throw invalid_state("invalid state: the conversation is disposed");
    }
    if (this.is_busy) {
      throw busy();
    }
  }

  /** @throws {SessionError} `invalid_state` if `start_new()` was called since, or the manager is disposed. */
  require_no_start_since({ starts }: Epoch): void {
    if (this.is_disposed) {
      throw disposed(); // another manager may listen by now
    }
    if (starts !== this.#starts) {
      throw invalid_state("invalid state: start_new() was called meanwhile; call again");
    }
  }

  /** @throws {SessionError} `invalid_state` if a turn began or ended since, and as `require_no_start_since`. */
  require_no_turn_since(epoch: Epoch): void {
    this.require_no_start_since(epoch);
    this.require_idle();
    if (epoch.turns !== this.#turns) {
      throw invalid_state("invalid state: the conversation went on meanwhile; call again");
    }
  }

  load(messages: Message[]): void {
    this.#conversation.load(messages);
  }

  clear(): void {
    this.#conversation.clear();
  }

  /** Waits until no turn is in flight, and the events of the last turn have been handled. */
  async turn_ended(): Promise<void> {
    await next_turn(); // a prompt that was just sent emits its first event after its transformers
    while (this.is_busy) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
      await next_turn(); // the state is idle before `message_complete`
    }
  }

  /** Stops listening. Ends all waits for a turn, because the end of that turn is no longer heard. */
  stop_listening(): void {
    this.is_disposed = true;
    this.#stop_waiting();
    for (const [event, listener] of this.#listeners) {
      this.#guard("dispose", () => this.#conversation.off(event, listener));
    }
  }

  /** @throws {SessionError} `invalid_state` if the conversation is busy, or cannot send. */
  async send(contents: UserMessage["content"]): ReturnType<Conversation["send_message"]> {
    this.require_idle();
    if (!this.#conversation.send_message) {
      throw invalid_state("invalid state: the conversation cannot send messages");
    }
    this.#phase = "sending"; // a conversation accepts a second message until the first turn begins
    try {
      return await this.#conversation.send_message(contents);
    } catch (error) {
      const is_busy = is_error(error) && error.message === "invalid state"; // errors of a conversation have no code
      throw is_busy ? busy(error) : error;
    } finally {
      if (this.#phase === "sending") {
        this.#phase = "idle";
      }
    }
  }

  get #is_state_idle(): boolean {
    const { state } = this.#conversation;
    return state === undefined || state === "idle" || state === "disposed";
  }

  #guard(operation: string, task: () => unknown): void {
    try {
      task();
    } catch (error) {
      this.#handlers.failed(error, operation);
    }
  }

  #turn_begins(): void {
    if (this.#phase !== "turn") {
      this.#phase = "turn";
      this.#turns += 1;
      this.#handlers.turn_began();
    }
  }

  /** Stays busy until `message_complete`. A session that a listener begins before that event would lose the turn. */
  #state_became_idle(is_cancelled: boolean): void {
    this.#turn_ends();
    if (!is_cancelled && this.#phase === "idle") {
      this.#phase = "ending";
      // Fake timers replace `queueMicrotask`, and leave promises alone.
      void Promise.resolve().then(() => this.#phase === "ending" && (this.#phase = "idle"));
    }
  }

  #turn_ends(): void {
    if (this.#phase === "turn") {
      this.#turns += 1;
    }
    if (this.#phase !== "sending") {
      this.#phase = "idle";
    }
    this.#handlers.turn_may_have_ended();
    this.#stop_waiting();
  }

  #stop_waiting(): void {
    this.#waiting.forEach((resolve) => resolve());
    this.#waiting.clear();
  }
}
