import type { CheckpointState, Conversation } from "@simulacra-ai/core";
import type { SessionState } from "./session-state.js";

/**
 * Remembers in which session each checkpoint under way began.
 *
 * Hazard: the event of a finished checkpoint does not name the child conversation, and a checkpoint may never settle.
 * So the child is found by its last message, which is the summary.
 */
export class Checkpoints {
  /** Keeps no child alive, because a checkpoint whose child is cancelled never settles. */
  #begun: { child: WeakRef<Conversation> | undefined; session: SessionState | undefined }[] = [];

  begin(child: Conversation | undefined, session: SessionState | undefined): void {
    this.#begun = this.#begun.filter((beginning) => {
      const other = beginning.child?.deref();
      return other !== undefined && other.state !== "disposed";
    });
    this.#begun.push({ child: child && new WeakRef(child), session });
  }

  /** Ends a checkpoint. Returns true if the checkpoint began in another session. */
  finish(state: CheckpointState | undefined, session: SessionState | undefined): boolean {
    const summary = state?.summary.trim();
    const finished = this.#begun.find(({ child }) => summary !== undefined && last_text(child?.deref()) === summary);
    const beginning = finished ?? this.#begun.at(-1);
    this.#begun = this.#begun.filter((other) => other !== beginning);
    return beginning !== undefined && beginning.session !== session;
  }
}

function last_text(child: Conversation | undefined): string | undefined {
  const content = child?.messages.at(-1)?.content ?? [];
  return content
    .map((part) => (part.type === "text" ? part.text : ""))
    .join("")
    .trim();
}
