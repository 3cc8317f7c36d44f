import { timers } from "../../../src/async/timers.js";

/** What a wait takes: longer than it was meant to, as on a machine that is busy. A lock ages within a few of them. */
const WAIT_MS = 6_000;

/** Time as the actors have it: each its own clock, that only moves while it waits. From `begin` to `end` the library uses it. */
export class VirtualTime {
  readonly #sleep: (wake: () => void) => void;
  readonly #clocks = new Map<number, number>();
  readonly #turn: () => number;
  readonly #original = { ...timers };

  /** `turn`: whose it is. */
  constructor(turn: () => number, sleep: (wake: () => void) => void) {
    this.#turn = turn;
    this.#sleep = sleep;
  }

  begin(): void {
    timers.set_timeout = (task) => this.#sleep(task) as unknown as NodeJS.Timeout;
    timers.set_immediate = queueMicrotask; // to let others have their turn
    timers.now = () => this.#clocks.get(this.#turn()) ?? 0;
  }

  end(): void {
    Object.assign(timers, this.#original);
  }

  /** An actor has waited. */
  pass(actor: number): void {
    this.#clocks.set(actor, (this.#clocks.get(actor) ?? 0) + WAIT_MS);
  }
}

/**
 * Runs a task in which no time passes, so that it comes out the same on every machine: nothing is interrupted because it took
 * long, and no timer ends.
 */
export async function while_time_stands<T>(task: () => Promise<T>): Promise<T> {
  const original = { ...timers };
  timers.set_timeout = () => undefined as unknown as NodeJS.Timeout;
  timers.set_immediate = queueMicrotask;
  timers.now = () => 0;
  try {
    return await task();
  } finally {
    Object.assign(timers, original);
  }
}
