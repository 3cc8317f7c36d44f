import { expect, test } from "vitest";
import { seeded_random } from "../../support/random.js";
import { Visits } from "./visits.js";

test("rule 34: of 20,000 visits none is forgotten, and none is taken for another", () => {
  const { below } = seeded_random(1);
  const visits = new Visits();
  const all = new Map<number, { preemptions: number; held: number[] }[]>();
  // Keys that differ in their upper bits, in their lower ones, or stand one behind the other.
  const some_key = () => below(6) * 2 ** 50 + below(500) * 2 ** 20 + below(3);
  const some_threads = () => [0, 1, 64, 65, 128].filter(() => below(4) === 0);
  const was_there = (key: number, preemptions: number, held: number[]) =>
    (all.get(key) ?? []).some(
      (one) => one.preemptions <= preemptions && one.held.every((thread) => held.includes(thread)),
    );
  let known = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const [key, preemptions, held] = [some_key(), below(4), some_threads()];
    const expected = was_there(key, preemptions, held);
    expect(visits.has(key, preemptions, held)).toBe(expected);
    known += expected ? 1 : 0;
    if (!expected) {
      visits.add(key, preemptions, held);
      all.set(key, [...(all.get(key) ?? []), { preemptions, held }]);
    }
  }
  expect(known).toBeGreaterThan(1000);
  visits.clear();
  expect([...all.keys()].some((key) => visits.has(key, 3, [0, 1, 64, 65, 128]))).toBe(false);
});
