/** Runs a task; `look` is called in every turn of the event loop meanwhile. Returns the longest turn, too. */
export async function watched<T>(task: () => Promise<T>, look: () => void): Promise<{ result: T; longest: number }> {
  let longest = 0;
  let before = performance.now();
  let is_over = false;
  const tick = () => {
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
    look();
    if (!is_over) {
      setImmediate(tick);
    }
  };
  setImmediate(tick);
  try {
    return { result: await task(), longest };
  } finally {
    is_over = true;
    tick();
  }
}
