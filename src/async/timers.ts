const { setTimeout: set_timeout, clearTimeout: clear_timeout, setImmediate: set_immediate } = globalThis;
const now = performance.now.bind(performance);

/**
 * The timers and the clock as they were at import. Where a test replaces the global ones afterwards, a wait that used those
 * would never end. All waits use this object: whoever simulates time replaces its members.
 */
export const timers = {
  set_timeout: (task: () => void, ms: number): NodeJS.Timeout => set_timeout(task, ms),
  clear_timeout: (timer: NodeJS.Timeout | undefined): void => clear_timeout(timer),
  set_immediate: (task: () => void): void => void set_immediate(task),
  /** Returns the milliseconds of a clock that only goes forward. */
  now: (): number => now(),
};

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => timers.set_timeout(resolve, ms));
}

/** Resolves when the event loop has run what else was waiting. */
export function next_turn(): Promise<void> {
  return new Promise((resolve) => timers.set_immediate(resolve));
}
