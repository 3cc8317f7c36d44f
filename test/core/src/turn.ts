import { randomUUID } from "node:crypto";
import { CancellationSource } from "./cancellation.js";
import type { Conversation } from "./conversation.js";
import type { ConversationEvents, EventName } from "./events.js";
import { snapshot, stamp_reply, stamp_reply_message } from "./ids.js";
import type {
  AssistantMessage,
  ContentProgress,
  ContextTransformer,
  ConversationState,
  Message,
  MessageEnd,
  MessageProgress,
  SendResult,
  StreamReceiver,
  UserMessage,
} from "./types.js";

/** Gives a turn access to its conversation. */
export interface TurnHost {
  readonly conversation: Conversation;
  readonly transformers: ContextTransformer[];
  /** The turns that have been sent and have not ended. `cancel_response` reaches all of them. */
  readonly in_flight: Set<Turn>;
  /** Emits nothing once the conversation is disposed. */
  emit<E extends EventName>(event: E, ...args: ConversationEvents[E]): void;
  set_state(state: ConversationState): void;
  push(messages: Message[]): void;
}

/**
 * Runs one turn: the order of its states, events and pushed messages. Turns of one conversation may overlap. Each turn
 * sets the state as if the turn were alone.
 */
export class Turn implements StreamReceiver {
  readonly cancellation = new CancellationSource();
  readonly prompt: UserMessage;
  readonly #request_id = randomUUID();
  readonly #host: TurnHost;
  readonly #prompts: UserMessage[];
  readonly #earlier_replies: AssistantMessage[];
  #is_sent = false;
  #is_prompt_send_failed = false;
  #has_returned = false;
  #is_streaming = false;
  #is_request_failed = false;
  #is_over = false;

  constructor(host: TurnHost, prompts: UserMessage[], earlier_replies: AssistantMessage[] = []) {
    const prompt = prompts.at(-1);
    if (!prompt) throw new Error("a turn needs a prompt");
    this.prompt = prompt;
    this.#host = host;
    this.#prompts = prompts;
    this.#earlier_replies = earlier_replies;
  }

  /** Is `undefined` where a `prompt_send` listener threw. */
  get result(): SendResult | undefined {
    if (this.#is_prompt_send_failed) return undefined;
    return { message: snapshot(this.prompt), request_id: this.#request_id };
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

  /** Marks the request as sent, once: at `request_raw`, or with the provider's first report of something later. */
  send(): void {
    if (this.#is_sent || this.#is_done) return;
    this.#is_sent = true;
    this.#host.in_flight.add(this);
    try {
      this.#emit("prompt_send", { message: snapshot(this.prompt) });
    } catch (error) {
      this.#is_prompt_send_failed = true;
      this.#report(error);
      return;
    }
    if (!this.#is_done) this.#host.set_state("awaiting_response");
  }

  /** Makes the request id known: `execute_request` has returned. */
  request_returned(): void {
    this.#has_returned = true;
    this.send();
  }

  /** Emits `request_success`, also where the stream of the request has failed. */
  succeed(): void {
    if (this.#is_request_failed || this.#is_prompt_send_failed || this.cancellation.is_cancellation_requested) return;
    const data = { request_id: this.#request_id, message: snapshot(this.prompt) };
    this.#host.emit("request_success", data, {}, this.#host.conversation);
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
    let reply = stamp_reply(event.message);
    try {
      for (const transformer of this.#host.transformers) {
        if (transformer.transform_completion) reply = await transformer.transform_completion(reply);
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
    this.#end();
    try {
      this.#finish(event, stamp_reply_message(reply));
    } catch (error) {
      this.#report(error);
    }
  }

  /** Reports a failed request before `"idle"` and a failed stream after it. Reports nothing where cancelled. */
  error(error: unknown): void {
    if (this.#is_done) return;
    this.send();
    if (this.cancellation.is_cancellation_requested) {
      this.cancel();
      return;
    }
    this.#end();
    this.#is_request_failed = !this.#is_streaming;
    if (this.#is_request_failed) this.#report(error);
    this.#set_idle();
    if (!this.#is_request_failed) this.#report(error);
  }

  /** Ends a turn that was refused before its request. */
  reject(error: unknown): void {
    if (this.#is_done) return;
    this.#end();
    this.#report(error);
  }

  cancel(): void {
    this.send();
    if (this.#is_done) return;
    if (!this.cancellation.is_cancellation_requested) {
      this.cancellation.request();
      this.#host.set_state("stopping");
      if (this.#is_done) return;
    }
    this.#end();
    this.#set_idle();
  }

  #finish(event: MessageEnd, reply: AssistantMessage): void {
    this.#set_idle();
    if (this.#state === "disposed") return;
    this.#host.push([...this.#prompts, ...this.#earlier_replies, reply]);
    const has_tool_call = reply.content.some((content) => content.type === "tool");
    this.#emit("message_complete", {
      request_id: this.#known_request_id,
      message: snapshot(reply),
      usage: event.usage,
      stop_reason: has_tool_call ? "tool_use" : event.stop_reason,
      ...("stop_details" in event && { stop_details: event.stop_details }),
    });
  }

  #report(error: unknown): void {
    const event = { request_id: this.#known_request_id, message: snapshot(this.prompt), error };
    this.#host.emit("request_error", event, {}, this.#host.conversation);
  }

  get #known_request_id(): string | undefined {
    return this.#has_returned ? this.#request_id : undefined;
  }

  #end(): void {
    this.#is_over = true;
    this.#host.in_flight.delete(this);
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
