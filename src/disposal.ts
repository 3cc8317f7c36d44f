/** An object that `using` and `await using` end. */
interface Ended extends Disposable, AsyncDisposable {
  /** Stops listening at once and emits `dispose`. Pending saves are still written, and listeners hear of them. */
  [Symbol.dispose](): void;
  /**
   * Waits for a turn in flight to end, in whatever way, then flushes and disposes.
   * @throws the errors of `flush`; the manager is disposed all the same.
   */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The functions that the methods of an {@link Ended} object call. */
interface Disposal {
  dispose: () => void;
  close: () => Promise<void>;
}

/**
 * The base class of a manager, with its methods for `using` and `await using`.
 *
 * Hazard: bundlers keep a class with computed names, as code that runs at import. A pure function makes this one.
 */
export const DISPOSABLE_BASE = /* @__PURE__ */ disposable_class();

function disposable_class(): new (disposal: Disposal) => Ended {
  // Runtimes and test runners may lack these symbols. Compiled `using` then looks for the registered ones.
  const dispose: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for("Symbol.dispose");
  const async_dispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
  return class {
    readonly #disposal: Disposal;

    constructor(disposal: Disposal) {
      this.#disposal = disposal;
    }

    [dispose](): void {
      this.#disposal.dispose();
    }

    async [async_dispose](): Promise<void> {
      await this.#disposal.close();
    }
  };
}
