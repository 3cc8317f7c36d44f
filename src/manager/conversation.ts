import type { AssistantMessage, CheckpointState, Conversation, Message, Usage, UserMessage } from "@simulacra-ai/core";
import { busy, disposed, is_error, SessionError } from "../errors.js";
import { next_turn } from "../async/timers.js";
import type { Messages } from "../messages.js";
import type { SessionConversation } from "./types.js";

/** The events of a conversation that a manager handles. Payloads may be missing. */
export interface ConversationHandlers {
  prompt_send(prompt: UserMessage): void;
  message_update(partial: Partial<AssistantMessage>): void;
  message_complete(usage: Usage | undefined): void;
  /** A turn begins. It is not among the messages yet. */
  turn_began(): void;
  /** No turn is in flight. Where one was completed, `message_complete` follows. */
  at_rest(): void;
  create_child(child: Conversation): void;
  checkpoint_begin(child: Conversation | undefined): void;
  checkpoint_complete(state: CheckpointState | undefined): void;
  dispose(): void;
  /** A handler, or the conversation itself, threw. */
  failed(error: unknown, operation: string): void;
}

/** A moment of a conversation, to be compared with a later one. */
export interface Epoch {
  turns: number;
  sessions: number;
}

type Listener = (...args: unknown[]) => void;

/**
 * The one place that touches a conversation. Its listeners never throw.
 *
 * Hazard: an operation checks that the conversation is idle, waits for the store, and then changes the conversation.
 * Meanwhile a whole turn may have come and gone, so that the conversation is idle again. The epoch counts the turns that
 * began or ended and the sessions that began. An operation notes the epoch at its call and compares before it acts.
 */
export class ManagedConversation {
  readonly #conversation: SessionConversation;
  readonly #handlers: ConversationHandlers;
  readonly #listeners: [string, Listener][];
  readonly #waiting = new Set<() => void>();
  #turns = 0;
  #sessions = 0;
  /** A turn has begun, though the state may say idle still. */
  #began = false;
  /** The end of a turn was counted. Its `message_complete` may follow. */
  #has_ended = false;
  /** The state is idle, and `message_complete` may follow at once. */
  #is_ending = false;
  /** The manager sends a prompt. */
  #is_sending = false;
  #is_disposed = false;
  #is_detached = false;

  constructor(conversation: SessionConversation, handlers: ConversationHandlers) {
    this.#conversation = conversation;
    this.#handlers = handlers;
    this.#listeners = [
      this.#listener("before_request", () => this.#turn_begins()),
      this.#listener("prompt_send", (event?: { message?: UserMessage }) => {
        this.#turn_begins();
        return event?.message && handlers.prompt_send(event.message);
      }),
      this.#listener("state_change", (event?: { previous?: string }) => {
        return this.#is_at_rest ? this.#comes_to_rest(event?.previous === "stopping") : this.#turn_begins();
      }),
      this.#listener("request_error", () => this.#turn_ends()),
      this.#listener("message_update", (event?: { message?: Partial<AssistantMessage> }) => {
        return event?.message && handlers.message_update(event.message);
      }),
      this.#listener("message_complete", (event?: { usage?: Usage }) => {
        if (!this.#began && !this.#has_ended) {
          this.#turns += 1; // a plain object emits no other event of a turn
        }
        this.#has_ended = false;
        try {
          handlers.message_complete(event?.usage);
        } finally {
          this.#turn_ends();
        }
      }),
      this.#listener("create_child", (child?: Conversation) => child && handlers.create_child(child)),
      this.#listener("checkpoint_begin", (child?: Conversation) => handlers.checkpoint_begin(child)),
      this.#listener("checkpoint_complete", (state?: CheckpointState) => handlers.checkpoint_complete(state)),
      this.#listener("dispose", () => {
        this.#is_disposed = true;
        this.#turn_ends();
        handlers.dispose();
      }),
    ];
    for (const [event, listener] of this.#listeners) {
      conversation.on(event, listener);
    }
  }

  /** Reads all messages. An engine may copy them at every read, so this is done once a turn. */
  get messages(): Messages {
    return this.#conversation.messages;
  }

  get checkpoint_state(): CheckpointState | undefined {
    return this.#conversation.checkpoint_state;
  }

  set checkpoint_state(state: CheckpointState | undefined) {
    if (state !== undefined || this.#conversation.checkpoint_state !== undefined) {
      this.#conversation.checkpoint_state = state;
    }
  }

  /** True when the manager is disposed. */
  get is_detached(): boolean {
    return this.#is_detached;
  }

  get is_busy(): boolean {
    return !this.#is_disposed && (this.#began || this.#is_ending || this.#is_sending || !this.#is_at_rest);
  }

  get epoch(): Epoch {
    return { turns: this.#turns, sessions: this.#sessions };
  }

  /** A session was begun by the application. Operations that wait must not act on it. */
  session_begins(): void {
    this.#sessions += 1;
  }

  /** @throws {SessionError} `invalid_state` where a turn is in flight, or the conversation is disposed. */
  require_idle(): void {
    if (this.#conversation.state === "disposed") {
      throw new SessionError("invalid_state", "invalid state: the conversation is disposed");
    }
    if (this.is_busy) {
      throw busy();
    }
  }

  /** @throws {SessionError} `invalid_state` where `start_new()` was called since. */
  require_same_session({ sessions }: Epoch): void {
    if (this.#is_detached) {
      throw disposed(); // another manager may listen by now
    }
    if (sessions !== this.#sessions) {
      throw new SessionError("invalid_state", "invalid state: start_new() was called meanwhile; call again");
    }
  }

  /** @throws {SessionError} `invalid_state` where a turn began or ended since, `start_new()` was called, or disposed. */
  require_unmoved(epoch: Epoch): void {
    this.require_same_session(epoch);
    this.require_idle();
    if (epoch.turns !== this.#turns) {
      throw new SessionError("invalid_state", "invalid state: the conversation went on meanwhile; call again");
    }
  }

  load(messages: Message[]): void {
    this.#conversation.load(messages);
  }

  clear(): void {
    this.#conversation.clear();
  }

  /** Resolves when no turn is in flight, after the events that its end brings. */
  async turn_ended(): Promise<void> {
    await next_turn(); // a prompt that was just sent emits its first event after its transformers
    while (this.is_busy) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
      await next_turn(); // the state is idle before `message_complete`
    }
  }

  /** Stops listening. */
  detach(): void {
    this.#is_detached = true;
    for (const [event, listener] of this.#listeners) {
      try {
        this.#conversation.off(event, listener);
      } catch (error) {
        this.#handlers.failed(error, "dispose");
      }
    }
  }

  /** @throws {SessionError} `invalid_state` where the conversation is busy, or cannot send. */
  async send(contents: UserMessage["content"]): ReturnType<Conversation["send_message"]> {
    this.require_idle();
    if (this.#conversation.send_message === undefined) {
      throw new SessionError("invalid_state", "invalid state: the conversation cannot send messages");
    }
    this.#is_sending = true; // the engine takes a second message until the first one's turn begins
    try {
      return await this.#conversation.send_message(contents);
    } catch (error) {
      const is_busy = is_error(error) && error.message === "invalid state"; // the engine's errors have no code
      throw is_busy ? busy(error) : error;
    } finally {
      this.#is_sending = false;
    }
  }

  get #is_at_rest(): boolean {
    const { state } = this.#conversation;
    return state === undefined || state === "idle" || state === "disposed";
  }

  #turn_begins(): void {
    if (!this.#began) {
      this.#began = true;
      this.#is_sending = false;
      this.#has_ended = false;
      this.#turns += 1;
      this.#handlers.turn_began();
    }
  }

  /** Stays busy until `message_complete` is heard: a listener that begins a session before it would lose the turn. */
  #comes_to_rest(is_cancelled: boolean): void {
    this.#turn_ends();
    this.#is_ending = !is_cancelled;
    queueMicrotask(() => (this.#is_ending = false));
  }

  #turn_ends(): void {
    this.#is_ending = false;
    if (this.#began) {
      this.#began = false;
      this.#has_ended = true;
      this.#turns += 1;
    }
    this.#handlers.at_rest();
    this.#waiting.forEach((resolve) => resolve());
    this.#waiting.clear();
  }

  #listener<A extends unknown[]>(event: string, handle: (...args: A) => unknown): [string, Listener] {
    const guarded = (...args: A) => {
      try {
        handle(...args);
      } catch (error) {
        this.#handlers.failed(error, event);
      }
    };
    return [event, guarded as unknown as Listener];
  }
}
