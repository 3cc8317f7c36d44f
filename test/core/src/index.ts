export { Conversation } from "./conversation.js";
export { EVENT_NAMES, type ConversationEvents, type EventName, type Listener } from "./events.js";
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
  SendResult,
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

export { deferred, type Deferred } from "./deferred.js";
export { next_reply } from "./next-reply.js";
export { recorded_turns, replay_turn, type RecordedTurn } from "./replay.js";
export {
  AwaitingProvider,
  ScriptedProvider,
  StreamingProvider,
  type Script,
  type ScriptedStep,
} from "./scripted-provider.js";
