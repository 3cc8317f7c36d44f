import type { Access } from "./causality.js";

/** Whether two operations may not change places. */
export function conflict(some: readonly Access[], others: readonly Access[]): boolean {
  return some.some(({ thing, writes }) => others.some((other) => other.thing === thing && (writes || other.writes)));
}

/**
 * Threads that were interrupted before an operation with which nothing has conflicted since. To let one go on now is
 * the same as to have interrupted it behind that operation, which takes no more interruptions: it need not be tried.
 */
export class Interrupted {
  #held = new Map<number, readonly Access[]>();

  copy(): Interrupted {
    const copy = new Interrupted();
    copy.#held = new Map(this.#held);
    return copy;
  }

  has(thread: number): boolean {
    return this.#held.has(thread);
  }

  add(thread: number, accesses: readonly Access[]): void {
    this.#held.set(thread, accesses);
  }

  /** Who is still held once this has happened too. */
  after(accesses: readonly Access[]): number[] {
    return [...this.#held].filter(([, held]) => !conflict(held, accesses)).map(([thread]) => thread);
  }

  happen(accesses: readonly Access[]): void {
    for (const [thread, held] of this.#held) {
      if (conflict(held, accesses)) {
        this.#held.delete(thread);
      }
    }
  }
}
