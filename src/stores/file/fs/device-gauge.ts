import { timers } from "../../../async/timers.js";

/** A call in place that took longer had to wait for the device, or was interrupted. */
const SLOW_MS = 0.06;
/** The surplus of slow calls over quick ones that is no mere interruption. */
const COLD_AT = 4;
/** The number of calls that the thread pool then makes, before one call is tried in place again. */
const FEWEST_TO_POOL = 32;
const MOST_TO_POOL = 256;

/** Tells by what calls in place have taken whether the next ones are likely to wait for the device. */
export class DeviceGauge {
  #slow = 0;
  #to_pool = 0;
  #next_to_pool = FEWEST_TO_POOL;

  /** True if the next call belongs on the thread pool. */
  get is_cold(): boolean {
    return this.#to_pool > 0;
  }

  /** Makes the next call on the thread pool. */
  on_pool<T>(call: () => T): T {
    this.#to_pool -= 1;
    return call();
  }

  /** Makes the next call in place. */
  in_place<T>(call: () => T): T {
    const began = timers.now();
    const result = call();
    this.made_in_place(began);
    return result;
  }

  /** One was made in place, and began then. */
  made_in_place(began: number): void {
    if (timers.now() - began <= SLOW_MS) {
      this.#slow = Math.max(this.#slow - 1, 0);
      this.#next_to_pool = FEWEST_TO_POOL;
      return;
    }
    this.#slow = Math.min(this.#slow + 1, COLD_AT);
    if (this.#slow === COLD_AT) {
      this.#to_pool = this.#next_to_pool;
      this.#next_to_pool = Math.min(2 * this.#next_to_pool, MOST_TO_POOL);
    }
  }
}
