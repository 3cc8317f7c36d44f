import type { CheckpointState, Conversation } from "@simulacra-ai/core";

interface Beginning<S> {
  /** A checkpoint whose child is cancelled never settles, so its child is not kept alive. */
  child: WeakRef<Conversation> | undefined;
  session: S | undefined;
}

/**
 * Knows in which session each checkpoint under way began.
 *
 * Hazard: the event of a finished checkpoint does not name its child, and a checkpoint may never settle. The child is
 * found by its last message, which is the summary.
 */
export class Checkpoints<S> {
  #begun: Beginning<S>[] = [];

  begin(child: Conversation | undefined, session: S | undefined): void {
    this.#begun = this.#begun.filter((beginning) => {
      const other = beginning.child?.deref();
      return other !== undefined && other.state !== "disposed";
    });
    this.#begun.push({ child: child && new WeakRef(child), session });
  }

  /** True where a finished checkpoint sums up another session than this one. */
  began_elsewhere(state: CheckpointState | undefined, session: S | undefined): boolean {
    const summary = state?.summary.trim();
    const is_finished = ({ child }: Beginning<S>) => summary !== undefined && last_text(child?.deref()) === summary;
    const beginning = this.#begun.find(is_finished) ?? this.#begun.at(-1);
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
