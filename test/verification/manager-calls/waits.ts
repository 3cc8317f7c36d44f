import { real_now, type VirtualTime } from "./virtual-time.js";

/** A promise that somebody began, and how it ended. */
export interface Begun {
  /** As a reader would write the call. */
  what: string;
  state: "waiting" | "resolved" | "rejected";
  /** It may go on forever, and that is no fault. */
  may_hang: boolean;
}

/** More than anything takes that does end. */
const MOST_ROUNDS = 20_000;
/** And so long, where timers are real. */
const MOST_MS = 1_000;

/** All promises of a run; nothing is ever waited for without a limit. */
export class Waits {
  readonly #time: VirtualTime;
  readonly #begun: Begun[] = [];

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  /** Hears of the end of a promise; it is handled from then on. */
  add<T>(what: string, promise: Promise<T>, { resolved, rejected, may_hang = false }: Handlers<T> = {}): Begun {
    const begun: Begun = { what, state: "waiting", may_hang };
    this.#begun.push(begun);
    promise.then(
      (value) => {
        begun.state = "resolved";
        resolved?.(value);
      },
      (error: unknown) => {
        begun.state = "rejected";
        rejected?.(error);
      },
    );
    return begun;
  }

  /** Waits until it is so, for some rounds of the event loop at most. Resolves with whether it is. */
  async until(is_so: () => boolean, most: number): Promise<boolean> {
    for (let left = most; left > 0 && !is_so(); left -= 1) {
      await this.#time.round();
    }
    return is_so();
  }

  async pause(rounds: number): Promise<void> {
    await this.until(() => false, rounds);
  }

  /** Waits until all of these have ended, and returns those that never do. */
  async ended(all: readonly Begun[] = this.#begun): Promise<Begun[]> {
    const waiting = () => all.filter(({ state, may_hang }) => state === "waiting" && !may_hang);
    const until_ms = this.#time.is_everywhere ? 0 : real_now() + MOST_MS;
    let left = waiting();
    for (let round = 0; left.length > 0 && (round < MOST_ROUNDS || real_now() < until_ms); round += 1) {
      await this.#time.round();
      left = left.filter(({ state }) => state === "waiting");
    }
    return waiting();
  }
}

interface Handlers<T> {
  resolved?: (value: T) => void;
  rejected?: (error: unknown) => void;
  may_hang?: boolean;
}
