/** What is tried again, or will be: until that succeeds, its failure counts. */
type Retried = "save" | "draft" | "rename" | "flush";

const RETRIED: ReadonlySet<string> = new Set<Retried>(["save", "draft", "rename", "flush"]);

/** What failed in a manager and its children, and is not made good yet. */
export class Failures {
  /** By operation and session, the newest last. */
  readonly #left = new Map<string, unknown>();

  get newest(): unknown {
    return [...this.#left.values()].at(-1);
  }

  /** What nobody tries again counts until the next save that succeeds. */
  note(operation: string, session_id: unknown, error: unknown): void {
    const key = key_of(operation, session_id);
    this.#left.delete(key);
    this.#left.set(key, error);
  }

  made_good(operation: Retried, session_id: string): void {
    this.#left.delete(key_of(operation, session_id));
    if (operation === "save") {
      this.#left.delete(key_of("", undefined));
    }
  }

  /** The session is deleted: nothing is left to be made good. */
  forget(session_id: string): void {
    for (const operation of RETRIED) {
      this.#left.delete(key_of(operation, session_id));
    }
  }

  /** Notes how a task ends. */
  async watch<T>(operation: Retried, session_id: string, task: () => Promise<T>): Promise<T> {
    try {
      const result = await task();
      this.made_good(operation, session_id);
      return result;
    } catch (error) {
      this.note(operation, session_id, error);
      throw error;
    }
  }
}

function key_of(operation: string, session_id: unknown): string {
  return RETRIED.has(operation) ? `${operation} ${String(session_id)}` : "";
}
