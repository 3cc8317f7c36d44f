/** What a wait takes: longer than it was meant to, as on a machine that is busy. A lock ages within a few of them. */
const WAIT_MS = 6_000;

/**
 * Time as the actors have it: each its own clock, that only moves while it waits. From `begin` to `end`, `setTimeout`,
 * `setImmediate` and `performance.now` are theirs.
 */
export class VirtualTime {
  readonly #sleep: (wake: () => void) => void;
  readonly #clocks = new Map<number, number>();
  readonly #turn: () => number;
  #restore: (() => void) | undefined;

  /** `turn`: whose it is. */
  constructor(turn: () => number, sleep: (wake: () => void) => void) {
    this.#turn = turn;
    this.#sleep = sleep;
  }

  begin(): void {
    const { setTimeout: timeout, setImmediate: immediate, performance } = globalThis;
    const own = Object.getOwnPropertyDescriptor(performance, "now");
    globalThis.setTimeout = ((task: () => void) => this.#sleep(task)) as unknown as typeof setTimeout;
    globalThis.setImmediate = queueMicrotask as unknown as typeof setImmediate; // to let others have their turn
    Object.defineProperty(performance, "now", {
      value: () => this.#clocks.get(this.#turn()) ?? 0,
      configurable: true,
      writable: true,
    });
    this.#restore = () => {
      globalThis.setTimeout = timeout;
      globalThis.setImmediate = immediate;
      Reflect.deleteProperty(performance, "now");
      if (own !== undefined) {
        Object.defineProperty(performance, "now", own);
      }
    };
  }

  end(): void {
    this.#restore?.();
    this.#restore = undefined;
  }

  /** An actor has waited. */
  pass(actor: number): void {
    this.#clocks.set(actor, (this.#clocks.get(actor) ?? 0) + WAIT_MS);
  }
}
