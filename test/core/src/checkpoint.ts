import type { Conversation } from "./conversation.js";
import type { AssistantMessage, CheckpointState, Message, SummarizationStrategy } from "./types.js";

export const DEFAULT_STRATEGY: SummarizationStrategy = {
  build(messages, checkpoint_state) {
    const known = checkpoint_state ? `Known so far: ${checkpoint_state.summary}\n` : "";
    return { messages: [...messages], prompt: `${known}Summarize the conversation.` };
  },
};

/** The messages after the checkpoint's boundary; all, where there is none or the boundary is gone. */
export function messages_since(messages: readonly Message[], state: CheckpointState | undefined): readonly Message[] {
  const boundary = state ? messages.findLastIndex((message) => message.id === state.message_id) : -1;
  return messages.slice(boundary + 1);
}

export function text_of(message: AssistantMessage): string {
  return message.content.map((content) => (content.type === "text" ? content.text : "")).join("");
}

/** The reply of the turn in flight, or of the next one. Rejects where it fails, is cancelled, or is cut off by disposal. */
export function next_reply(conversation: Conversation): Promise<AssistantMessage> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      conversation.off("message_complete", on_complete);
      conversation.off("request_error", on_error);
      conversation.off("state_change", on_state);
    };
    const on_complete = ({ message }: { message: AssistantMessage }) => {
      stop();
      resolve(message);
    };
    const on_error = ({ error }: { error: unknown }) => {
      stop();
      reject(error instanceof Error ? error : new Error("the request failed", { cause: error }));
    };
    const on_state = ({ current, previous }: { current: string; previous: string }) => {
      if (current !== "disposed" && !(current === "idle" && previous === "stopping")) return;
      stop();
      reject(new Error(current === "disposed" ? "disposed" : "cancelled"));
    };
    conversation.on("message_complete", on_complete);
    conversation.on("request_error", on_error);
    conversation.on("state_change", on_state);
  });
}
