interface Visit {
  preemptions: number;
  held: readonly number[];
}

/** Who was where, with how many interruptions, and with whom held back. There are millions: most have nobody held. */
export class Visits {
  readonly #with_nobody_held = new Map<number, number>();
  readonly #others = new Map<number, Visit[]>();

  /** Whether somebody was there with no more interruptions, and no more threads that were not to go on. */
  has(key: number, preemptions: number, held: readonly number[]): boolean {
    if ((this.#with_nobody_held.get(key) ?? Infinity) <= preemptions) {
      return true;
    }
    const others = this.#others.get(key) ?? [];
    return others.some((one) => one.preemptions <= preemptions && one.held.every((thread) => held.includes(thread)));
  }

  add(key: number, preemptions: number, held: readonly number[]): void {
    if (held.length === 0) {
      this.#with_nobody_held.set(key, preemptions);
    } else {
      this.#others.set(key, [...(this.#others.get(key) ?? []), { preemptions, held }]);
    }
  }

  clear(): void {
    this.#with_nobody_held.clear();
    this.#others.clear();
  }
}
