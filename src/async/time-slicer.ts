import { next_turn, timers } from "./timers.js";

/** The longest time that long work may keep the event loop. */
const SLICE_MS = 2;

/** Called between the steps of long work. The caller waits for what the function returns. */
export type Pause = () => Promise<void> | undefined;

/**
 * Returns a function that interrupts long work when its slice of time is used up. Tasks that share the function share one
 * slice, and wait together.
 */
export function pauses(): Pause {
  let slice_began = timers.now();
  let pausing: Promise<void> | undefined;
  const go_on = () => {
    slice_began = timers.now();
    pausing = undefined;
  };
  return () => {
    if (!pausing && timers.now() - slice_began > SLICE_MS) {
      pausing = next_turn().then(go_on);
    }
    return pausing;
  };
}
