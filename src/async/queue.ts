/** Runs tasks one after another, in the order in which they were asked for. A task that fails stops none after it. */
export class WriteQueue {
  readonly #on_idle: () => void;
  #tail: Promise<unknown>;
  #unfinished = 0;

  /** `after`: what has to end, in whatever way, before the first task. */
  constructor(after: Promise<unknown> = Promise.resolve(), on_idle: () => void = () => undefined) {
    this.#tail = after;
    this.#on_idle = on_idle;
  }

  get is_idle(): boolean {
    return this.#unfinished === 0;
  }

  /** How many tasks are waiting or under way. */
  get unfinished(): number {
    return this.#unfinished;
  }

  run<T>(task: () => Promise<T>): Promise<T> {
    this.#unfinished += 1;
    const result = this.#tail.then(task, task);
    const ended = () => {
      this.#unfinished -= 1;
      if (this.#unfinished === 0) {
        this.#on_idle();
      }
    };
    this.#tail = result.then(ended, ended); // the outcome goes to whoever asked for the task
    return result;
  }

  /** Resolves when everything asked for so far has ended, in whatever way. */
  async settled(): Promise<void> {
    await this.#tail.catch(() => undefined);
  }
}
