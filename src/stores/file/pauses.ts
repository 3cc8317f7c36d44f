/** How long work that could be long may keep the event loop at a time. */
const SLICE_MS = 4;

/** To be asked between steps of such work: what it returns, if anything, is to be waited for. */
export function pauses(): () => Promise<void> | undefined {
  let slice_began = performance.now();
  return () => {
    if (performance.now() - slice_began <= SLICE_MS) {
      return undefined;
    }
    return next_turn().then(() => {
      slice_began = performance.now();
    });
  };
}

/** Resolves when others have had their turn. */
export function next_turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
