import { performance } from "node:perf_hooks";
import node_timers from "node:timers";

const originals = /* @__PURE__ */ original_timers();

function original_timers() {
  const { setTimeout: set_timeout, clearTimeout: clear_timeout, setImmediate: set_immediate } = node_timers;
  return { set_timeout, clear_timeout, set_immediate, now: performance.now.bind(performance) };
}

/**
 * The timers and the clock of the runtime's modules, as they were at import. A test runner may have replaced the global ones
 * before that, and a wait that used those would never end. All waits use this object: whoever simulates time replaces its
 * members.
 */
export const timers = {
  set_timeout: (task: () => void, ms: number): NodeJS.Timeout => originals.set_timeout(task, ms),
  clear_timeout: (timer: NodeJS.Timeout | undefined): void => originals.clear_timeout(timer),
  set_immediate: (task: () => void): void => void originals.set_immediate(task),
  /** Returns the milliseconds of a clock that only goes forward. */
  now: (): number => originals.now(),
};

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => timers.set_timeout(resolve, ms));
}

/** Resolves when the event loop has run what else was waiting. */
export function next_turn(): Promise<void> {
  return new Promise((resolve) => timers.set_immediate(resolve));
}
