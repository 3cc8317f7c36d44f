import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { in_proportion, make_rounds, reordered } from "./budget.js";
import { METHODS, SECONDS } from "./methods/index.js";

test("rounds end with the time, and are counted", async () => {
  const made: number[] = [];
  const until = performance.now() + 20;
  const progress = await make_rounds([...Array(10_000).keys()], { until, lanes: 3 }, async (n) => {
    await sleep(1);
    made.push(n);
  });
  expect(progress).toEqual({ done: made.length, planned: 10_000 });
  expect(made.length).toBeGreaterThan(0);
  expect(made.length).toBeLessThan(1000);
});

test("without time the first of each kind are made, and no others", async () => {
  const made: string[] = [];
  const kinds = [["a1", "a2", "a3"], ["b1"], ["c1", "c2"]];
  const least = kinds.length;
  const progress = await make_rounds(in_proportion(kinds), { until: 0, least }, async (name) => made.push(name));
  expect(made).toEqual(["a1", "b1", "c1"]);
  expect(progress).toEqual({ done: 3, planned: 6 });
});

test("without a limit all rounds are made", async () => {
  const made: number[] = [];
  const progress = await make_rounds([1, 2, 3], { until: Infinity }, async (n) => made.push(n));
  expect([made, progress]).toEqual([[1, 2, 3], { done: 3, planned: 3 }]);
});

test("kinds advance in proportion to their lengths", () => {
  const kinds = [
    [1, 2, 3, 4],
    [10, 20],
  ];
  expect(in_proportion(kinds)).toEqual([1, 10, 2, 3, 20, 4]);
});

test("the seed alone decides the order", () => {
  const all = [...Array(100).keys()];
  expect(reordered(all, 1)).toEqual(reordered(all, 1));
  expect(reordered(all, 1)).not.toEqual(reordered(all, 2));
  expect(reordered(all, 1).sort((a, b) => a - b)).toEqual(all);
});

test("all methods have a share of ten minutes", () => {
  const shares = METHODS.map((method) => SECONDS.get(method) ?? 0);
  expect(Math.min(...shares)).toBeGreaterThan(0);
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeLessThanOrEqual(600);
});
