// Only what a consumer and the declarations of the package need of the engine, written by hand for this check.
export interface TextContent {
  id?: string;
  timestamp?: number;
  type: "text";
  text: string;
}
export interface UserMessage {
  id?: string;
  timestamp?: number;
  role: "user";
  content: TextContent[];
}
export interface AssistantMessage {
  id?: string;
  timestamp?: number;
  role: "assistant";
  content: TextContent[];
}
export type Message = UserMessage | AssistantMessage;
export interface Usage {
  input_tokens?: number | null;
  output_tokens?: number | null;
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
export interface ConversationEvents {
  message_complete: [event: { message: AssistantMessage; usage: Usage }, conversation: Conversation];
  create_child: [child: Conversation, conversation: Conversation];
  dispose: [conversation: Conversation];
}
export declare class Conversation {
  get state(): "idle" | "awaiting_response" | "streaming_response" | "stopping" | "disposed";
  get messages(): Readonly<Message[]>;
  get checkpoint_state(): Readonly<CheckpointState> | undefined;
  set checkpoint_state(state: CheckpointState | undefined);
  get is_checkpoint(): boolean;
  prompt(text: string): Promise<{ message: UserMessage; request_id: string } | undefined>;
  clear(): void;
  send_message(contents: UserMessage["content"]): Promise<{ message: UserMessage; request_id: string } | undefined>;
  load(messages: Message[]): void;
  on<E extends keyof ConversationEvents>(event: E, listener: (...args: ConversationEvents[E]) => void): void;
  off<E extends keyof ConversationEvents>(event: E, listener: (...args: ConversationEvents[E]) => void): void;
  [Symbol.dispose](): void;
}
