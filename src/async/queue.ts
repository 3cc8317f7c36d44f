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

/** A queue for each key that has unfinished tasks. */
export class KeyedQueues {
  readonly #queues = new Map<string, WriteQueue>();

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key) ?? new WriteQueue(undefined, () => this.#queues.delete(key));
    this.#queues.set(key, queue);
    return queue.run(task);
  }

  /** Resolves when everything asked for so far has ended: of one key, or of all. */
  async settled(key?: string): Promise<void> {
    const queues = [...this.#queues].filter(([of]) => key === undefined || of === key);
    await Promise.all(queues.map(([, queue]) => queue.settled()));
  }
}
