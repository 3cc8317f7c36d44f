/** A store waits for pauses that are shorter: before a fold begins, or a lock is let go. */
const LONGER_MS = 8;

/** Resolves when whatever waited for a pause, in a store of this process, has begun. */
export function after_pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LONGER_MS));
}

/** Resolves when what is counted has stayed as it is for some turns of the event loop. */
export async function at_rest(count: () => number): Promise<void> {
  for (let [last, turns] = [-1, 0]; turns < 3;) {
    await new Promise((resolve) => setImmediate(resolve));
    turns = count() === last ? turns + 1 : 0;
    last = count();
  }
}
