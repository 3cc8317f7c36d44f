import { seeded } from "../../src/conformance/check.js";

/** Numbers that only look random: the same seed, the same numbers. `next` returns numbers from 0 up to 1. */
export function seeded_random(seed: number) {
  const random = seeded(seed);
  return { ...random, next: () => random.below(2 ** 32) / 2 ** 32 };
}
