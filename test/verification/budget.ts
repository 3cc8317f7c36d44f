import { seeded_random } from "../support/random.js";

/** How much of what a method plans was made. */
export interface Progress {
  done: number;
  planned: number;
  /** What was counted, where that is not what the method calls its rounds. */
  of?: string;
}

/** When a method ends: no round begins once `performance.now()` has passed `until`. */
export interface Budget {
  /** `Infinity`: when everything is done. */
  until: number;
}

export function is_over({ until }: Budget): boolean {
  return performance.now() >= until;
}

/** A fraction of the time that is left. */
export function part_of({ until }: Budget, fraction: number): Budget {
  const now = performance.now();
  return { until: now + fraction * (until - now) };
}

/**
 * Makes rounds in their order until the budget is used up, `lanes` of them at a time. The first `least` rounds are made
 * in any case, so that a method without time still proves something.
 */
export async function make_rounds<T>(
  rounds: readonly T[],
  { until, least = 1, lanes = 1 }: Budget & { least?: number; lanes?: number },
  make: (round: T) => Promise<unknown>,
): Promise<Progress> {
  let begun = 0;
  const lane = async () => {
    while (begun < rounds.length && (begun < least || !is_over({ until }))) {
      begun += 1;
      await make(rounds[begun - 1] as T);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { done: begun, planned: rounds.length };
}

/** One list of several kinds of rounds: the first of each kind, and then all kinds in proportion to their lengths. */
export function in_proportion<T>(kinds: readonly (readonly T[])[]): T[] {
  return kinds
    .flatMap((rounds) => rounds.map((round, n) => ({ round, at: n / rounds.length })))
    .sort((a, b) => a.at - b.at)
    .map(({ round }) => round);
}

/** In an order that the seed decides, so that the first of them are a sample of all. */
export function reordered<T>(all: Iterable<T>, seed: number): T[] {
  const random = seeded_random(seed);
  const rest = [...all];
  for (let end = rest.length - 1; end > 0; end -= 1) {
    const other = random.below(end + 1);
    [rest[end], rest[other]] = [rest[other] as T, rest[end] as T];
  }
  return rest;
}

/** Adds up what was made of several plans. */
export function sum_of(parts: readonly Progress[], of?: string): Progress {
  const done = parts.reduce((sum, part) => sum + part.done, 0);
  const planned = parts.reduce((sum, part) => sum + part.planned, 0);
  return { done, planned, ...(of !== undefined && { of }) };
}
