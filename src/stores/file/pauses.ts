/** How long work that could be long may keep the event loop at a time. */
const SLICE_MS = 2;

/** Called between the steps of long work; what it returns is waited for. */
export type Pause = () => Promise<void> | undefined;

/**
 * To be asked between steps of such work: what it returns, if anything, is to be waited for. Several that ask wait
 * together, and have one slice together.
 */
export function pauses(): Pause {
  let slice_began = performance.now();
  let pausing: Promise<void> | undefined;
  const go_on = () => {
    slice_began = performance.now();
    pausing = undefined;
  };
  return () => {
    if (pausing === undefined && performance.now() - slice_began > SLICE_MS) {
      pausing = next_turn().then(go_on);
    }
    return pausing;
  };
}

/** Resolves when others have had their turn. */
export function next_turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
