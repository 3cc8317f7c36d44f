import { randomUUID } from "node:crypto";
import { CancellationSource } from "./cancellation.js";
import type { Conversation } from "./conversation.js";
import type { ConversationEvents, EventName } from "./events.js";
import { snapshot, stamp_message } from "./ids.js";
import type {
  AssistantMessage,
  ContentProgress,
  ContextTransformer,
  ConversationState,
  Message,
  MessageEnd,
  MessageProgress,
  StreamReceiver,
  UserMessage,
} from "./types.js";

/** What a turn may do to its conversation. */
export interface TurnHost {
  readonly conversation: Conversation;
  readonly transformers: ContextTransformer[];
  emit<E extends EventName>(event: E, ...args: ConversationEvents[E]): void;
  set_state(state: ConversationState): void;
  push(messages: Message[]): void;
  /** From now on `cancel_response` reaches this turn. */
  activate(turn: Turn): void;
}

/** One turn, from its prompt to its end: the order of states, events and stored messages. */
export class Turn implements StreamReceiver {
  readonly request_id = randomUUID();
  readonly cancellation = new CancellationSource();
  readonly prompt: UserMessage;
  readonly #host: TurnHost;
  readonly #before: Message[];
  readonly #earlier_replies: AssistantMessage[];
  #is_sent = false;
  #is_streaming = false;
  #is_over = false;
  #has_failed = false;
  #is_refused = false;

  constructor(host: TurnHost, prompts: UserMessage[], earlier_replies: AssistantMessage[] = []) {
    const prompt = prompts.at(-1);
    if (!prompt) throw new Error("a turn needs a prompt");
    this.prompt = prompt;
    this.#host = host;
    this.#before = prompts;
    this.#earlier_replies = earlier_replies;
  }

  get has_failed(): boolean {
    return this.#has_failed;
  }

  /** Another turn had begun before this one could. */
  get is_refused(): boolean {
    return this.#is_refused;
  }

  before_request(data: unknown): void {
    if (this.#is_live) this.#emit("before_request", { data });
  }

  request_raw(data: unknown): void {
    if (this.#is_live) this.#emit("raw_request", { data });
    this.send();
  }

  response_raw(data: unknown): void {
    if (this.#is_live) this.#emit("raw_response", { data });
  }

  stream_raw(data: unknown): void {
    if (this.#is_live) this.#emit("raw_stream", { data });
  }

  /** The request is out. Happens once: at `request_raw`, or with whatever else the provider reports first. */
  send(): void {
    if (this.#is_sent || this.#is_done) return;
    this.#is_sent = true;
    if (this.#state !== "idle") {
      this.#is_over = true;
      this.#is_refused = true;
      throw new Error("invalid state");
    }
    this.#emit("prompt_send", { message: snapshot(this.prompt) });
    if (this.#is_done) return;
    this.#host.activate(this);
    this.#host.set_state("awaiting_response");
  }

  start_message(event: MessageProgress): void {
    this.send();
    if (!this.#is_live) return;
    this.#is_streaming = true;
    this.#host.set_state("streaming_response");
    if (this.#is_live) this.#emit("message_start", event);
  }

  update_message(event: MessageProgress): void {
    if (this.#is_live) this.#emit("message_update", event);
  }

  start_content(event: ContentProgress): void {
    if (this.#is_live) this.#emit("content_start", event);
  }

  update_content(event: ContentProgress): void {
    if (this.#is_live) this.#emit("content_update", event);
  }

  complete_content(event: ContentProgress): void {
    if (this.#is_live) this.#emit("content_complete", event);
  }

  async complete_message(event: MessageEnd): Promise<void> {
    this.send();
    if (this.#is_done) return;
    const reply = stamp_message(event.message);
    let shown = reply;
    try {
      for (const transformer of this.#host.transformers) {
        if (transformer.transform_completion) shown = await transformer.transform_completion(shown);
      }
    } catch (error) {
      this.error(error);
      return;
    }
    if (this.#is_done) return;
    if (this.cancellation.is_cancellation_requested) {
      this.cancel();
      return;
    }
    this.#is_over = true;
    try {
      this.#finish(event, reply, shown);
    } catch (error) {
      this.#report(error);
    }
  }

  /** A failed request is reported before `"idle"`, a failed stream after it; where cancelled, neither is. */
  error(error: unknown): void {
    if (this.#is_done) return;
    this.send();
    if (this.cancellation.is_cancellation_requested) {
      this.cancel();
      return;
    }
    this.#is_over = true;
    if (!this.#is_streaming) this.#report(error);
    this.#set_idle();
    if (this.#is_streaming) this.#report(error);
  }

  /** Ends a turn that was refused before its request. */
  reject(error: unknown): void {
    if (this.#is_done) return;
    this.#is_over = true;
    this.#report(error);
  }

  cancel(): void {
    this.send();
    if (this.#is_done) return;
    this.cancellation.request();
    this.#host.set_state("stopping");
    if (this.#is_done) return;
    this.#is_over = true;
    this.#set_idle();
  }

  #finish(event: MessageEnd, reply: AssistantMessage, shown: AssistantMessage): void {
    this.#set_idle();
    if (this.#state === "disposed") return;
    this.#host.push([...this.#before, ...this.#earlier_replies, reply]);
    this.#emit("message_complete", {
      request_id: "request_id" in event ? event.request_id : this.request_id,
      message: snapshot(shown),
      usage: event.usage,
      stop_reason: event.stop_reason,
      ...("stop_details" in event && { stop_details: event.stop_details }),
    });
  }

  #report(error: unknown): void {
    this.#has_failed = true;
    const event = { request_id: this.request_id, message: snapshot(this.prompt), error };
    this.#host.emit("request_error", event, {}, this.#host.conversation);
  }

  #set_idle(): void {
    if (this.#state !== "disposed") this.#host.set_state("idle");
  }

  #emit<E extends EventName>(event: E, argument: ConversationEvents[E][0]): void {
    this.#host.emit(event, ...([argument, this.#host.conversation] as unknown as ConversationEvents[E]));
  }

  get #state(): ConversationState {
    return this.#host.conversation.state;
  }

  get #is_done(): boolean {
    return this.#is_over || this.#state === "disposed";
  }

  get #is_live(): boolean {
    return !this.#is_done && !this.cancellation.is_cancellation_requested;
  }
}
