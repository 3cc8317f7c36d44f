import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import node_timers from "node:timers";
import { seeded_random } from "../../support/random.js";

// Taken here: the originals, whatever is replaced later.
const next_round = globalThis.setImmediate;
/** Milliseconds as they pass outside. */
export const real_now = performance.now.bind(performance);
const RealDate = Date;
const BEGINNING = RealDate.UTC(2026, 0, 1);

/** Resolves when all that is due now has happened, `count` times over. */
export async function rounds(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) {
    await new Promise<void>((resolve) => next_round(() => resolve()));
  }
}

interface Timer {
  due: number;
  task: () => void;
}

type Restore = () => void;

/**
 * Time and chance that a seed repeats. A millisecond is a round of the event loop, and passes only while somebody waits
 * for `round()`. From `begin()` to `end()` dates, timers, UUIDs and `Math.random` come from here. Modules that keep the
 * original functions when they are imported have to be imported after `begin()`.
 */
export class VirtualTime {
  /** Everything was imported after `begin()`: no timer is real. Otherwise modules of the runtime keep their timers. */
  readonly is_everywhere: boolean;
  #now = 0;
  #timers: Timer[] = [];
  #random = seeded_random(0);
  #restore: Restore[] = [];

  constructor(is_everywhere = false) {
    this.is_everywhere = is_everywhere;
  }

  begin(): void {
    const elapsed = () => this.#now;
    const below = (limit: number) => this.#random.below(limit);
    const set_timeout = (task: () => void, delay_ms?: number) => this.#set_timer(task, delay_ms);
    const clear_timeout = (timer: unknown) => this.#clear_timer(timer);
    this.#restore = [
      replace(globalThis, "Date", date_class(elapsed)),
      ...(this.is_everywhere ? [globalThis, node_timers] : [globalThis]).flatMap((owner) => [
        replace(owner, "setTimeout", set_timeout),
        replace(owner, "clearTimeout", clear_timeout),
      ]),
      replace(performance, "now", elapsed),
      replace(Math, "random", () => below(2 ** 32) / 2 ** 32),
      replace(globalThis.crypto, "randomUUID", () => uuid(below)),
      replace(crypto, "randomUUID", () => uuid(below)),
    ];
    syncBuiltinESMExports();
  }

  end(): void {
    this.#restore.forEach((restore) => restore());
    syncBuiltinESMExports();
  }

  /** Begins again at the first millisecond; what still waits for its time is forgotten. */
  restart(seed: number): void {
    this.#now = 0;
    this.#timers = [];
    this.#random = seeded_random(seed);
  }

  /** Lets all that is due now happen, and a millisecond pass. */
  round(): Promise<void> {
    return new Promise((resolve) =>
      next_round(() => {
        this.#now += 1;
        this.#run_timers();
        resolve();
      }),
    );
  }

  #run_timers(): void {
    if (this.#timers.length > 0) {
      const due = this.#timers.filter((timer) => timer.due <= this.#now);
      this.#timers = this.#timers.filter((timer) => timer.due > this.#now);
      due.sort((a, b) => a.due - b.due).forEach(({ task }) => task());
    }
  }

  #set_timer(task: () => void, delay_ms = 0): unknown {
    const set = (timer: Timer) => this.#timers.push(timer);
    const timer = { due: this.#now + Math.max(1, Math.ceil(delay_ms)), task };
    set(timer);
    const handle = { timer, ref: () => handle, unref: () => handle, hasRef: () => true };
    return handle;
  }

  #clear_timer(handle: unknown): void {
    const timer = (handle as { timer?: Timer } | undefined)?.timer;
    this.#timers = this.#timers.filter((other) => other !== timer);
  }
}

function replace(owner: object, name: string, value: unknown): Restore {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  return () => {
    if (before === undefined) {
      Reflect.deleteProperty(owner, name);
    } else {
      Object.defineProperty(owner, name, before);
    }
  };
}

function date_class(elapsed: () => number): DateConstructor {
  return class extends RealDate {
    constructor(...parts: unknown[]) {
      super(...((parts.length === 0 ? [BEGINNING + elapsed()] : parts) as [number]));
    }

    static override now(): number {
      return BEGINNING + elapsed();
    }
  } as DateConstructor;
}

function uuid(below: (limit: number) => number): string {
  const hex = (digits: number) =>
    Array.from({ length: digits / 4 }, () =>
      below(2 ** 16)
        .toString(16)
        .padStart(4, "0"),
    ).join("");
  return `${hex(8)}-${hex(4)}-4${hex(4).slice(1)}-8${hex(4).slice(1)}-${hex(12)}`;
}
