import type { AssistantMessage, CheckpointState, Conversation, Message, Usage, UserMessage } from "@simulacra-ai/core";
import { invalid_state, is_error } from "../errors.js";
import type { Messages } from "./timeline.js";
import { TurnWatch } from "./turn-watch.js";
import type { SessionConversation } from "./types.js";

/** What an engine wants to hear of its conversation; payloads may be missing. */
export interface ConversationHandlers {
  prompt_send(prompt: UserMessage): void;
  message_update(partial: Partial<AssistantMessage>): void;
  message_complete(usage: Usage | undefined): void;
  /** No turn is in flight; where one was completed, `message_complete` says so next. */
  at_rest(): void;
  create_child(child: Conversation): void;
  checkpoint_begin(child: Conversation | undefined): void;
  checkpoint_complete(state: CheckpointState | undefined): void;
  dispose(): void;
  /** A handler, or the conversation itself, threw. */
  failed(error: unknown, operation: string): void;
}

type Listener = (...args: unknown[]) => void;

/** The one place that touches a conversation. What it listens with never throws. */
export class ConversationLink {
  readonly #conversation: SessionConversation;
  readonly #handlers: ConversationHandlers;
  readonly #turns: TurnWatch;
  readonly #listeners: [string, Listener][];

  constructor(conversation: SessionConversation, handlers: ConversationHandlers) {
    this.#conversation = conversation;
    this.#handlers = handlers;
    this.#turns = new TurnWatch(conversation, () => this.#guarded("state_change", () => handlers.at_rest()));
    this.#listeners = [
      ...this.#turns.listeners(),
      this.#listener("prompt_send", (event?: { message?: UserMessage }) => {
        return event?.message && handlers.prompt_send(event.message);
      }),
      this.#listener("message_update", (event?: { message?: Partial<AssistantMessage> }) => {
        return event?.message && handlers.message_update(event.message);
      }),
      this.#listener("message_complete", (event?: { usage?: Usage }) => handlers.message_complete(event?.usage)),
      this.#listener("create_child", (child?: Conversation) => child && handlers.create_child(child)),
      this.#listener("checkpoint_begin", (child?: Conversation) => handlers.checkpoint_begin(child)),
      this.#listener("checkpoint_complete", (state?: CheckpointState) => handlers.checkpoint_complete(state)),
      this.#listener("dispose", () => handlers.dispose()),
    ];
    for (const [event, listener] of this.#listeners) {
      conversation.on(event, listener);
    }
  }

  /** Read once a turn: a conversation may copy all of them at every read. */
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

  require_idle(): void {
    if ((this.#conversation.state ?? "idle") !== "idle") {
      throw invalid_state();
    }
  }

  load(messages: Message[]): void {
    this.#conversation.load(messages);
  }

  clear(): void {
    this.#conversation.clear();
  }

  /** Resolves when no turn is in flight. */
  turn_ended(): Promise<void> {
    return this.#turns.ended();
  }

  /** Stops listening. */
  detach(): void {
    for (const [event, listener] of this.#listeners) {
      try {
        this.#conversation.off(event, listener);
      } catch (error) {
        this.#handlers.failed(error, "dispose");
      }
    }
  }

  /** @throws {SessionError} `invalid_state` where the conversation cannot send. */
  async send(contents: UserMessage["content"]): ReturnType<Conversation["send_message"]> {
    if (this.#conversation.send_message === undefined) {
      throw invalid_state();
    }
    try {
      return await this.#conversation.send_message(contents);
    } catch (error) {
      const is_busy = is_error(error) && error.message === invalid_state().message; // core's has no code
      throw is_busy ? invalid_state(error) : error;
    }
  }

  #listener<A extends unknown[]>(event: string, handle: (...args: A) => unknown): [string, Listener] {
    const guarded = (...args: A) => this.#guarded(event, () => handle(...args));
    return [event, guarded as unknown as Listener];
  }

  #guarded(event: string, handle: () => unknown): void {
    try {
      handle();
    } catch (error) {
      this.#handlers.failed(error, event);
    }
  }
}
