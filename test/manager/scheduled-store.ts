import type { SessionStore } from "@simulacra-ai/session";
import type { seeded_random } from "../support/random.js";

const METHODS = ["list", "load", "save", "delete", "append", "replace", "update", "flush"] as const;

/** Lets the calls of several managers through one at a time, in an order that the numbers choose. */
export class Scheduler {
  readonly #random: ReturnType<typeof seeded_random>;
  readonly #waiting: (() => void)[] = [];

  constructor(random: ReturnType<typeof seeded_random>) {
    this.#random = random;
  }

  /** The same store, as one of the managers is to see it. */
  wrap(store: SessionStore): SessionStore {
    const wrapped = METHODS.map((method) => {
      const perform = store[method]?.bind(store) as ((...args: unknown[]) => Promise<unknown>) | undefined;
      const scheduled = async (...args: unknown[]) => {
        await new Promise<void>((go) => this.#waiting.push(go));
        return perform?.(...args);
      };
      return [method, perform && scheduled];
    });
    return Object.fromEntries(wrapped) as SessionStore;
  }

  /** Resolves when all of this has ended. */
  async run<T>(tasks: Promise<T>[]): Promise<T[]> {
    let has_ended = false;
    const all = Promise.all(tasks).finally(() => (has_ended = true));
    all.catch(() => undefined); // whoever waits for it hears of it
    while (!has_ended) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#waiting.splice(this.#random.below(this.#waiting.length), 1)[0]?.();
    }
    return all;
  }
}
