import { randomUUID } from "node:crypto";
import { DEFAULT_STRATEGY, messages_since, summarize } from "./checkpoint.js";
import { Events, type EventName, type Listener } from "./events.js";
import { snapshot, stamp_prompt, stamp_reply } from "./ids.js";
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
  SendResult,
  SummarizationStrategy,
  ToolClass,
  UserContent,
  UserMessage,
} from "./types.js";

/** @internal Runs one turn with several messages of a role. Only `replay_turn` uses it. */
export const replay: unique symbol = Symbol("replay");

export class Conversation implements Disposable {
  readonly #provider: ModelProvider;
  readonly #policy: Policy | undefined;
  readonly #context_transformer: ContextTransformer | undefined;
  readonly #summarization_strategy: SummarizationStrategy | undefined;
  readonly #events = new Events();
  readonly #host: TurnHost;
  readonly #in_flight = new Set<Turn>();
  #id: string = randomUUID();
  #state: ConversationState = "idle";
  #system: string | undefined;
  #toolkit: ToolClass[] = [];
  #messages: Message[] = [];
  #checkpoint_state: CheckpointState | undefined;
  #is_checkpoint = false;

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
      in_flight: this.#in_flight,
      emit: (event, ...args) => {
        if (this.#state !== "disposed") this.#events.emit(event, ...args);
      },
      set_state: (state) => this.#set_state(state),
      push: (messages) => this.#messages.push(...messages),
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
    this.#require_not_disposed();
    this.#toolkit = [...toolkit];
  }

  /** Costs O(messages) at every read. */
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

  /** Resolves when `execute_request` has returned. The reply may come later. */
  async send_message(contents: UserContent[]): Promise<SendResult | undefined> {
    this.#require_idle();
    return this.#run(new Turn(this.#host, [stamp_prompt({ role: "user", content: contents })]));
  }

  /** @internal Runs a turn whose last reply comes from the provider. `earlier_replies` are pushed before that reply. */
  async [replay](prompts: UserMessage[], earlier_replies: AssistantMessage[]): Promise<SendResult | undefined> {
    this.#require_idle();
    const turn = new Turn(this.#host, prompts.map(stamp_prompt), earlier_replies.map(stamp_reply));
    return this.#run(turn, prompts.slice(0, -1));
  }

  cancel_response(): void {
    if (this.#state === "idle" || this.#state === "disposed") throw new Error("invalid state");
    this.#request_cancellation();
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

  /**
   * Has a child summarize the messages since the last checkpoint. The boundary is the last message when the summary
   * arrives. Never settles where the child is cancelled or disposed.
   */
  async checkpoint(config?: CheckpointConfig): Promise<CheckpointState> {
    this.#require_idle();
    const recent = messages_since(this.#messages, this.#checkpoint_state);
    if (recent.length === 0) throw new Error("nothing new to summarize");
    const child = this.spawn_child(false, undefined, config?.system, true);
    try {
      this.#events.emit("checkpoint_begin", child, this);
      const strategy = this.#summarization_strategy ?? DEFAULT_STRATEGY;
      const { messages, prompt } = strategy.build(recent.map(snapshot), this.checkpoint_state);
      const state = this.#checkpoint_at_end(await summarize(child, messages, prompt));
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
    this.#request_cancellation();
  }

  /** Runs a turn up to the return of `execute_request`. `unprompted` holds the turn's user messages before its prompt. */
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
    if (this.#state === "disposed") return turn.result;
    const request: ModelRequest = {
      messages,
      tools: this.#toolkit.map((tool) => tool.get_definition()),
      ...(this.#system !== undefined && { system: this.#system }),
    };
    return this.#request(turn, request);
  }

  async #request(turn: Turn, request: ModelRequest): Promise<SendResult | undefined> {
    let was_tried = false;
    const operation = async () => {
      was_tried = true;
      await this.#provider.execute_request(request, turn, turn.cancellation);
      turn.request_returned();
    };
    try {
      await (this.#policy ? this.#policy.execute(operation) : operation());
    } catch (error) {
      if (!was_tried) {
        turn.reject(error);
        return undefined;
      }
      turn.error(error);
      return turn.result;
    }
    turn.succeed();
    return turn.result;
  }

  #checkpoint_at_end(summary: string): CheckpointState {
    const last = this.#messages.at(-1);
    if (!last) throw new Error("nothing left to summarize");
    if (summary.trim() === "") throw new Error("the summary is empty");
    if (last.id === undefined) throw new Error("the last message has no id");
    return Object.freeze({ message_id: last.id, summary });
  }

  #request_cancellation(): void {
    for (const turn of this.#in_flight) turn.cancellation.request();
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
