import type { Conversation } from "./conversation.js";
import type { AssistantMessage, CheckpointState, Message, SummarizationStrategy } from "./types.js";

export const DEFAULT_STRATEGY: SummarizationStrategy = {
  build(messages, checkpoint_state) {
    const known = checkpoint_state ? `Known so far: ${checkpoint_state.summary}\n` : "";
    return { messages: [...messages], prompt: `${known}Summarize the conversation.` };
  },
};

/** Returns the messages after the checkpoint's boundary, or all messages where the boundary is missing. */
export function messages_since(messages: readonly Message[], state: CheckpointState | undefined): readonly Message[] {
  const boundary = state ? messages.findLastIndex((message) => message.id === state.message_id) : -1;
  return messages.slice(boundary + 1);
}

/** Prompts the child for its summary. Never settles where the child is cancelled or disposed. */
export async function summarize(child: Conversation, messages: readonly Message[], prompt: string): Promise<string> {
  if (!is_disposed(child)) {
    child.load(messages);
    const replied = new Promise<AssistantMessage>((resolve, reject) => {
      child.once("message_complete", ({ message }) => resolve(message));
      child.once("request_error", ({ error }) =>
        reject(error instanceof Error ? error : new Error("the request failed", { cause: error })),
      );
    });
    const [reply] = await Promise.all([replied, child.prompt(prompt)]);
    if (!is_disposed(child)) return text_of(reply);
  }
  return new Promise(() => {});
}

function is_disposed(conversation: Conversation): boolean {
  return conversation.state === "disposed";
}

function text_of(message: AssistantMessage): string {
  return message.content.map((content) => (content.type === "text" ? content.text : "")).join("");
}
