import { next_turn, timers } from "../../async/timers.js";

/** How long work that could be long may keep the event loop at a time. */
const SLICE_MS = 2;

/** Called between the steps of long work; what it returns is waited for. */
export type Pause = () => Promise<void> | undefined;

/**
 * To be asked between steps of such work: what it returns, if anything, is to be waited for. Several that ask wait
 * together, and have one slice together.
 */
export function pauses(): Pause {
  let slice_began = timers.now();
  let pausing: Promise<void> | undefined;
  const go_on = () => {
    slice_began = timers.now();
    pausing = undefined;
  };
  return () => {
    if (pausing === undefined && timers.now() - slice_began > SLICE_MS) {
      pausing = next_turn().then(go_on);
    }
    return pausing;
  };
}
