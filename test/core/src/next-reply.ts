import type { Conversation } from "./conversation.js";
import type { AssistantMessage } from "./types.js";

/**
 * Waits for the reply of the turn in flight, or of the next turn. Rejects where the turn fails or is cancelled, and
 * where the conversation is disposed.
 */
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
