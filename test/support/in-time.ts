/** Captured at import, so that tests with fake timers still have a real limit. */
const { setTimeout: start_timer, clearTimeout: stop_timer } = globalThis;

const LIMIT_MS = 3_000;

/** Rejects if a promise does not settle soon, so that a deadlock fails its test at once. */
export async function in_time<T>(promise: Promise<T>, what = "the promise", limit_ms = LIMIT_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const too_late = new Promise<never>((_, reject) => {
    timer = start_timer(() => reject(new Error(`${what} did not settle within ${limit_ms} ms`)), limit_ms);
  });
  try {
    return await Promise.race([promise, too_late]);
  } finally {
    stop_timer(timer);
  }
}

/** Resolves to the code of the error that a promise rejects with, another error as text, or `"done"`. */
export async function outcome_in_time(promise: Promise<unknown>, what?: string): Promise<string> {
  const outcome = promise.then(
    () => "done",
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
  return in_time(outcome, what);
}
