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
