import { onTestFinished, vi } from "vitest";
import { timers } from "../../src/async/timers.js";

/** Makes the library wait by the fake timers of the test runner and read its fake clock, until the test is over. */
export function use_fake_timers(): void {
  const originals = { ...timers };
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  timers.set_timeout = (task, ms) => setTimeout(task, ms);
  timers.clear_timeout = (timer) => clearTimeout(timer);
  timers.now = () => performance.now();
  onTestFinished(() => {
    Object.assign(timers, originals);
    vi.useRealTimers();
  });
}

/** Lets fake time pass until a promise has settled: what it waits for on the device takes real time. */
export async function pass_time_until<T>(settled: Promise<T>): Promise<T> {
  let is_settled = false;
  const note = () => (is_settled = true);
  settled.then(note, note);
  while (!is_settled) {
    await vi.advanceTimersByTimeAsync(500);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return settled;
}
