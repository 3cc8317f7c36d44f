export interface Deferred<T = void> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** A promise settled from outside: the gate that holds a scripted turn in flight. */
export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((on_resolve, on_reject) => {
    resolve = on_resolve;
    reject = on_reject;
  });
  return { promise, resolve, reject };
}
