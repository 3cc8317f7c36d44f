export { Conversation, type SendResult } from "./conversation.js";
export type { ConversationEvents, EventName, Listener } from "./events.js";
export type {
  AssistantContent,
  AssistantMessage,
  CancellationToken,
  CheckpointConfig,
  CheckpointState,
  Content,
  ContentProgress,
  ContextTransformer,
  ConversationState,
  LifecycleErrorEvent,
  Message,
  MessageEnd,
  MessageProgress,
  ModelProvider,
  ModelRequest,
  Policy,
  RawContent,
  StreamReceiver,
  SummarizationStrategy,
  TextContent,
  ThinkingMessageContent,
  Tool,
  ToolClass,
  ToolContent,
  ToolDefinition,
  ToolResultContent,
  Usage,
  UserContent,
  UserMessage,
} from "./types.js";

export { next_reply } from "./checkpoint.js";
export { deferred, type Deferred } from "./deferred.js";
export { recorded_turns, replay_turn, type RecordedTurn } from "./replay.js";
export {
  AwaitingProvider,
  ScriptedProvider,
  StreamingProvider,
  type Script,
  type ScriptedStep,
} from "./scripted-provider.js";
