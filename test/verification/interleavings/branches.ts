import type { Other } from "./order.js";

/** Choices that were made before, and one that was not. */
export interface Branch {
  length: number;
  then?: Pick<Other, "thread" | "key" | "held">;
}

/** Branches of one order, with the same number of interruptions. */
export interface Work {
  of: readonly number[];
  branches: Branch[];
}

/** What is yet to be followed, by the number of interruptions. */
export class Branches {
  readonly #work: Work[][] = [];
  readonly #random: { below(limit: number): number };

  constructor(random: { below(limit: number): number }) {
    this.#random = random;
  }

  add(preemptions: number, of: readonly number[], branches: Branch[]): void {
    if (branches.length > 0) {
      (this.#work[preemptions] ??= []).push({ of, branches });
    }
  }

  /** The fewest interruptions that something is left of. */
  fewest(): number | undefined {
    const found = this.#work.findIndex((some) => some !== undefined && some.length > 0);
    return found < 0 ? undefined : found;
  }

  /** One order at random, and as many of its branches, the earlier ones first: where time is short they are a sample. */
  take(preemptions: number, most: number): Work {
    const all = this.#work[preemptions] ?? [];
    const at = this.#random.below(all.length);
    const work = all[at] as Work;
    if (work.branches.length > most) {
      const taken = Array.from({ length: most }, () =>
        removed(work.branches, this.#random.below(work.branches.length)),
      );
      return { of: work.of, branches: sorted(taken) };
    }
    removed(all, at);
    return { of: work.of, branches: sorted(work.branches) };
  }

  left(preemptions: number): number {
    return (this.#work[preemptions] ?? []).reduce((sum, { branches }) => sum + branches.length, 0);
  }

  clear(): void {
    this.#work.length = 0;
  }
}

/** What was there; the last one takes its place. */
function removed<T>(all: T[], at: number): T {
  const [taken, last] = [all[at], all.pop()] as [T, T];
  if (at < all.length) {
    all[at] = last;
  }
  return taken;
}

function sorted(branches: Branch[]): Branch[] {
  return branches.sort((a, b) => a.length - b.length);
}
