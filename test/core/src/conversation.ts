import { randomUUID } from "node:crypto";
import { DEFAULT_STRATEGY, messages_since, next_reply, text_of } from "./checkpoint.js";
import { Events, type EventName, type Listener } from "./events.js";
import { content_hash, snapshot, stamp_message } from "./ids.js";
import { Turn, type TurnHost } from "./turn.js";
import type {
  AssistantMessage,
  CheckpointConfig,
  CheckpointState,
  ContextTransformer,
  ConversationState,
  Message,
  ModelProvider,
  ModelRequest,
  Policy,
  SummarizationStrategy,
  ToolClass,
  UserContent,
  UserMessage,
} from "./types.js";

/** @internal Runs one turn with several messages of a role. Only `replay_turn` uses it. */
export const replay: unique symbol = Symbol("replay");

export interface SendResult {
  message: UserMessage;
  request_id: string;
}

export class Conversation implements Disposable {
  readonly #provider: ModelProvider;
  readonly #policy: Policy | undefined;
  readonly #context_transformer: ContextTransformer | undefined;
  readonly #summarization_strategy: SummarizationStrategy | undefined;
  readonly #events = new Events();
  readonly #host: TurnHost;
  #id: string = randomUUID();
  #state: ConversationState = "idle";
  #system: string | undefined;
  #toolkit: ToolClass[] = [];
  #messages: Message[] = [];
  #checkpoint_state: CheckpointState | undefined;
  #is_checkpoint = false;
  #turn: Turn | undefined;

  constructor(
    provider: ModelProvider,
    policy?: Policy,
    context_transformer?: ContextTransformer,
    summarization_strategy?: SummarizationStrategy,
  ) {
    this.#provider = provider;
    this.#policy = policy;
    this.#context_transformer = context_transformer;
    this.#summarization_strategy = summarization_strategy;
    this.#host = {
      conversation: this,
      transformers: [...(context_transformer ? [context_transformer] : []), ...(provider.context_transformers ?? [])],
      emit: (event, ...args) => this.#events.emit(event, ...args),
      set_state: (state) => this.#set_state(state),
      push: (messages) => this.#messages.push(...messages),
      activate: (turn) => (this.#turn = turn),
    };
  }

  get id(): string {
    return this.#id;
  }

  set id(id: string) {
    this.#id = id;
  }

  get state(): ConversationState {
    return this.#state;
  }

  get system(): string | undefined {
    return this.#system;
  }

  set system(system: string | undefined) {
    this.#system = system;
  }

  get toolkit(): ToolClass[] {
    return this.#toolkit;
  }

  set toolkit(toolkit: ToolClass[]) {
    this.#toolkit = [...toolkit];
  }

  /** Every read costs O(messages). */
  get messages(): readonly Readonly<Message>[] {
    return Object.freeze(this.#messages.map(snapshot));
  }

  get checkpoint_state(): Readonly<CheckpointState> | undefined {
    return this.#checkpoint_state && snapshot(this.#checkpoint_state);
  }

  set checkpoint_state(state: CheckpointState | undefined) {
    this.#checkpoint_state = state && snapshot(state);
  }

  get is_checkpoint(): boolean {
    return this.#is_checkpoint;
  }

  async prompt(text: string): Promise<SendResult | undefined> {
    return this.send_message([{ type: "text", text }]);
  }

  /** Resolves when the request has been made; the reply may come later. */
  async send_message(contents: UserContent[]): Promise<SendResult | undefined> {
    this.#require_idle();
    return this.#run(new Turn(this.#host, [stamp_message({ role: "user", content: contents })]));
  }

  /** @internal The provider answers with the last of the turn's replies; `earlier_replies` go before it. */
  async [replay](prompts: UserMessage[], earlier_replies: AssistantMessage[]): Promise<SendResult | undefined> {
    this.#require_idle();
    const turn = new Turn(this.#host, prompts.map(stamp_message), earlier_replies.map(stamp_message));
    return this.#run(turn, prompts.slice(0, -1));
  }

  cancel_response(): void {
    if (this.#state === "idle" || this.#state === "disposed") throw new Error("invalid state");
    this.#turn?.cancellation.request();
    this.#set_state("stopping");
  }

  clear(): void {
    this.#require_idle();
    this.#messages = [];
  }

  load(messages: readonly Message[]): void {
    this.#require_idle();
    this.#messages = [...messages];
  }

  spawn_child(fork_session = false, id?: string, system?: string, is_checkpoint = false): Conversation {
    const child = new Conversation(
      this.#provider.clone(),
      this.#policy,
      this.#context_transformer,
      this.#summarization_strategy,
    );
    if (id !== undefined) child.#id = id;
    child.#system = system;
    child.#is_checkpoint = is_checkpoint;
    if (fork_session) child.#messages = [...this.#messages];
    child.#events.forward((event_name, event_args) =>
      this.#events.emit("child_event", { event_name, event_args }, this),
    );
    this.#events.emit("create_child", child, this);
    return child;
  }

  /** Rejects where nothing is new, and where the summary fails or is empty. */
  async checkpoint(config?: CheckpointConfig): Promise<CheckpointState> {
    this.#require_not_disposed();
    const recent = messages_since(this.#messages, this.#checkpoint_state);
    if (recent.length === 0) throw new Error("nothing new to summarize");
    const child = this.spawn_child(false, undefined, config?.system, true);
    try {
      this.#events.emit("checkpoint_begin", child, this);
      const strategy = this.#summarization_strategy ?? DEFAULT_STRATEGY;
      const { messages, prompt } = strategy.build(recent.map(snapshot), this.checkpoint_state);
      child.load(messages);
      const [reply] = await Promise.all([next_reply(child), child.prompt(prompt)]);
      this.#require_not_disposed();
      const state = this.#checkpoint_at_end(text_of(reply));
      this.#checkpoint_state = state;
      this.#events.emit("checkpoint_complete", snapshot(state), this);
      return snapshot(state);
    } finally {
      if (child.#state !== "disposed") child[Symbol.dispose]();
    }
  }

  on<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#events.on(event, listener);
  }

  once<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#events.once(event, listener);
  }

  off<E extends EventName>(event: E, listener: Listener<E>): void {
    this.#events.off(event, listener);
  }

  [Symbol.dispose](): void {
    this.#require_not_disposed();
    this.#events.emit("dispose", this);
    this.#set_state("disposed");
    this.#events.clear();
    this.#turn?.cancellation.request();
  }

  /** `unprompted`: user messages of the turn before its prompt. */
  async #run(turn: Turn, unprompted: UserMessage[] = []): Promise<SendResult | undefined> {
    let messages: Message[] = [...this.#messages, ...unprompted, turn.prompt];
    try {
      for (const transformer of this.#host.transformers) {
        if (transformer.transform_prompt) messages = await transformer.transform_prompt(messages);
      }
    } catch (error) {
      turn.reject(error);
      return undefined;
    }
    await Promise.resolve();
    this.#require_idle();
    const request: ModelRequest = {
      messages,
      tools: this.#toolkit.map((tool) => tool.get_definition()),
      ...(this.#system !== undefined && { system: this.#system }),
    };
    if (!(await this.#request(turn, request))) return undefined;
    return { message: snapshot(turn.prompt), request_id: turn.request_id };
  }

  /** False where the policy refused it. */
  async #request(turn: Turn, request: ModelRequest): Promise<boolean> {
    let was_tried = false;
    const operation = async () => {
      was_tried = true;
      await this.#provider.execute_request(request, turn, turn.cancellation);
      turn.send();
    };
    try {
      await (this.#policy ? this.#policy.execute(operation) : operation());
    } catch (error) {
      if (turn.is_refused) throw error;
      if (was_tried) turn.error(error);
      else turn.reject(error);
      return was_tried;
    }
    if (!turn.has_failed && !turn.cancellation.is_cancellation_requested) {
      const data = { request_id: turn.request_id, message: snapshot(turn.prompt) };
      this.#events.emit("request_success", data, {}, this);
    }
    return true;
  }

  #checkpoint_at_end(summary: string): CheckpointState {
    const last = this.#messages.at(-1);
    if (!last) throw new Error("nothing left to summarize");
    if (summary.trim() === "") throw new Error("the summary is empty");
    return Object.freeze({ message_id: last.id ?? content_hash(last), summary });
  }

  #set_state(current: ConversationState): void {
    const previous = this.#state;
    if (current === previous) return;
    this.#state = current;
    this.#events.emit("state_change", { current, previous }, this);
  }

  #require_idle(): void {
    if (this.#state !== "idle") throw new Error("invalid state");
  }

  #require_not_disposed(): void {
    if (this.#state === "disposed") throw new Error("invalid state");
  }
}
