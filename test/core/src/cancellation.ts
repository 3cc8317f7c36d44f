import { deferred } from "./deferred.js";
import type { CancellationToken } from "./types.js";

export class CancellationSource implements CancellationToken {
  readonly #signal = deferred();
  #is_requested = false;

  get is_cancellation_requested(): boolean {
    return this.#is_requested;
  }

  get cancelled(): Promise<void> {
    return this.#signal.promise;
  }

  request(): void {
    this.#is_requested = true;
    this.#signal.resolve();
  }
}
