interface BaseContent {
  id?: string;
  /** Epoch milliseconds. */
  timestamp?: number;
}

interface ExtendableContent extends BaseContent {
  extended?: Record<string, unknown>;
}

export interface RawContent extends BaseContent {
  type: "raw";
  model_kind: string;
  data: string;
}

export interface TextContent extends ExtendableContent {
  type: "text";
  text: string;
}

export interface ThinkingMessageContent extends ExtendableContent {
  type: "thinking";
  thought: string;
}

export interface ToolContent<T extends Tool = Tool> extends ExtendableContent {
  type: "tool";
  tool_request_id: string;
  tool: string;
  params: Parameters<T["execute"]>[0];
}

export interface ToolResultContent<T extends Tool = Tool> extends ExtendableContent {
  type: "tool_result";
  tool: string;
  tool_request_id: string;
  result: Awaited<ReturnType<T["execute"]>>;
}

export type UserContent = RawContent | TextContent | ToolResultContent;
export type AssistantContent = RawContent | TextContent | ThinkingMessageContent | ToolContent;
export type Content = UserContent | AssistantContent;

export interface UserMessage {
  id?: string;
  timestamp?: number;
  role: "user";
  content: UserContent[];
}

export interface AssistantMessage {
  id?: string;
  timestamp?: number;
  role: "assistant";
  content: AssistantContent[];
}

export type Message = UserMessage | AssistantMessage;

export interface Usage {
  cache_creation_input_tokens?: number | null;
  cache_read_input_tokens?: number | null;
  input_tokens?: number | null;
  output_tokens?: number | null;
}

export interface SendResult {
  message: UserMessage;
  request_id: string;
}

export interface CheckpointState {
  message_id: string;
  summary: string;
}

export interface LifecycleErrorEvent {
  error: unknown;
  operation: string;
  context?: Record<string, unknown>;
}

export type ConversationState = "idle" | "awaiting_response" | "streaming_response" | "stopping" | "disposed";

export interface Tool<P extends Record<string, unknown> = Record<string, unknown>> {
  execute(params: P): Promise<{ result: true } | { result: false; message: string; error?: unknown }>;
}

export interface ToolDefinition {
  name: string;
  description: string;
  parameters: unknown;
  parallelizable?: boolean;
}

export interface ToolClass {
  new (...args: never[]): Tool;
  get_definition(): ToolDefinition;
}

export interface ContextTransformer {
  transform_prompt?(messages: Message[]): Promise<Message[]>;
  transform_completion?(message: AssistantMessage): Promise<AssistantMessage>;
}

export interface ModelRequest {
  messages: Message[];
  tools: ToolDefinition[];
  system?: string;
}

export interface ModelProvider {
  context_transformers?: ContextTransformer[];
  execute_request(request: ModelRequest, receiver: StreamReceiver, cancellation: CancellationToken): Promise<void>;
  clone(): ModelProvider;
}

/** Runs the request, or refuses it by rejecting without having called `operation`. */
export interface Policy {
  execute(operation: () => Promise<void>): Promise<void>;
}

export interface SummarizationStrategy {
  /** Returns the messages and the prompt of the checkpoint's child. `messages` are those since the last checkpoint. */
  build(
    messages: readonly Message[],
    checkpoint_state: CheckpointState | undefined,
  ): { messages: Message[]; prompt: string };
}

export interface CheckpointConfig {
  /** The system prompt of the child. */
  system?: string;
}

export interface CancellationToken {
  readonly is_cancellation_requested: boolean;
  /** Resolves when cancellation is requested; otherwise never. */
  readonly cancelled: Promise<void>;
}

export interface MessageProgress {
  message: Partial<AssistantMessage>;
  usage: Usage;
}

export interface ContentProgress extends MessageProgress {
  content: AssistantContent;
}

export interface MessageEnd {
  message: AssistantMessage;
  usage: Usage;
  stop_reason: string;
  stop_details?: unknown;
}

/**
 * Receives the reports of a provider. A method throws what a listener threw, except where the engine reports that error
 * itself: errors of `prompt_send` and `message_complete` listeners become `request_error`.
 */
export interface StreamReceiver {
  before_request(data: unknown): void;
  request_raw(data: unknown): void;
  response_raw(data: unknown): void;
  stream_raw(data: unknown): void;
  start_message(event: MessageProgress): void;
  update_message(event: MessageProgress): void;
  /** Ends the turn synchronously, up to the last listener of `message_complete`, unless a transformer is awaited. */
  complete_message(event: MessageEnd): Promise<void>;
  start_content(event: ContentProgress): void;
  update_content(event: ContentProgress): void;
  complete_content(event: ContentProgress): void;
  error(error: unknown): void;
  cancel(): void;
}
