import type { Pause } from "../../../async/time-slicer.js";

const RUN = 500;

/** Sorts a copy, and lets others have their turn between the steps: a long list at once would keep them for too long. */
export async function sort_in_steps<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
  pause: Pause,
): Promise<T[]> {
  let runs: T[][] = [];
  for (let at = 0; at < items.length; at += RUN) {
    runs.push(items.slice(at, at + RUN).sort(compare));
    await pause();
  }
  while (runs.length > 1) {
    const longer: T[][] = [];
    for (let at = 0; at < runs.length; at += 2) {
      longer.push([...(runs[at] ?? []), ...(runs[at + 1] ?? [])].sort(compare)); // two sorted halves are only merged
      await pause();
    }
    runs = longer;
  }
  return runs[0] ?? [];
}
