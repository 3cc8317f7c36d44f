import type { CheckpointState, Conversation } from "@simulacra-ai/core";

interface Beginning<S> {
  child: Conversation | undefined;
  session: S | undefined;
}

/**
 * Knows in which session each checkpoint under way began. A finished one is told from others by its summary: it is
 * what its child said last.
 */
export class CheckpointWatch<S> {
  #begun: Beginning<S>[] = [];

  begin(child: Conversation | undefined, session: S | undefined): void {
    this.#begun = this.#begun.filter(({ child: other }) => other?.state !== "disposed");
    this.#begun.push({ child, session });
  }

  /** Whether a finished checkpoint sums up another session than this one. */
  began_elsewhere(state: CheckpointState | undefined, session: S | undefined): boolean {
    const summary = state?.summary.trim();
    const beginning =
      this.#begun.find(({ child }) => summary !== undefined && last_text(child) === summary) ?? this.#begun[0];
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
