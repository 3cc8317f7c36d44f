import type { Access } from "./causality.js";
import { conflict } from "./interrupted.js";
import { actor_of } from "./order.js";

interface Look {
  accesses: readonly Access[];
  is_changed: boolean;
}

/** Of the last operations before somebody waits: what they have looked at is what they wait for. */
const LOOKED_AT = 4;

/** What each thread has touched last, and whether others have changed it since. */
export class Looks {
  readonly #of = new Map<number, Look[]>();

  copy(): Looks {
    const copy = new Looks();
    for (const [thread, looks] of this.#of) {
      copy.#of.set(
        thread,
        looks.map((look) => ({ ...look })),
      );
    }
    return copy;
  }

  /** Whether others have changed what a thread has looked at last; `undefined`: it has looked at nothing. */
  has_news(thread: number): boolean | undefined {
    return this.#of.get(thread)?.some(({ is_changed }) => is_changed);
  }

  forget(thread: number): void {
    this.#of.set(thread, []);
  }

  /** Whoever has looked at what this changes has something new to find. */
  touch(thread: number, accesses: readonly Access[]): void {
    const actor = actor_of(thread);
    for (const [by, looks] of this.#of) {
      if (actor_of(by) !== actor) {
        for (const look of looks) {
          look.is_changed ||= conflict(look.accesses, accesses);
        }
      }
    }
    const own = this.#of.get(thread) ?? [];
    this.#of.set(thread, [...own, { accesses, is_changed: false }].slice(-LOOKED_AT));
  }
}
