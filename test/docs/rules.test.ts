import { describe, expect, test } from "vitest";
import { project_file } from "./markdown.js";
import { cited_by_file, numbers_in, numbers_of, test_names, with_index } from "./rules.js";

/** Returns the numbers that no test cites. A test that cites a clause cites its rule, too, but not the other way round. */
function uncited(numbers: readonly string[], cited: readonly string[]): string[] {
  const all = new Set(cited.flatMap((number) => [number, ...number.split(".").slice(0, 1)]));
  return numbers.filter((number) => !all.has(number));
}

/** Returns the numbers at the wrong place. Rules ascend, and the clauses of a rule count from 1 behind the rule. */
function out_of_order(numbers: readonly string[]): string[] {
  return numbers.filter((number, at) => {
    const [rule = 0, clause = 0] = number.split(".").map(Number);
    const [rule_before = 0, clause_before = 0] = (numbers[at - 1] ?? "0").split(".").map(Number);
    return clause === 0 ? rule <= rule_before : rule !== rule_before || clause !== clause_before + 1;
  });
}

/** Rules of one part of the package, and the tests of that part. */
const PLACES: readonly [from: number, to: number, RegExp][] = [
  [28, 28, /^(conformance|docs)\/|\/conformance\.test\.ts$|\/cluster\.test\.ts$|\/timers\.test\.ts$/],
  [30, 44, /^(stores\/file|verification)\/|^stores\/contract-text|^docs\/format/],
  [50, 50, /^stores\/(row-|drizzle|prisma)/],
  [51, 52, /^stores\/wrappers\//],
  [54, 56, /^stores\/sql\//],
  [57, 57, /^stores\/redis\//],
];

const guarantees = project_file("docs/guarantees.md");
const numbers = numbers_of(guarantees);
const cited = cited_by_file();

describe("the numbered guarantees", () => {
  test("are numbered once each, in order", () => {
    expect(numbers).toContain("8");
    expect(numbers).toContain("8.1");
    expect(out_of_order(numbers)).toEqual([]);
  });

  test("are all cited by a test", () => {
    expect(uncited(numbers, [...cited.values()].flat())).toEqual([]);
  });

  test("are cited by the tests of their part of the package", () => {
    const misplaced = [...cited].flatMap(([file, those]) =>
      those
        .filter((number) =>
          PLACES.some(
            ([from, to, place]) =>
              from <= Math.floor(Number(number)) && Math.floor(Number(number)) <= to && !place.test(file),
          ),
        )
        .map((number) => `rule ${number} in ${file}`),
    );
    expect(misplaced).toEqual([]);
  });

  test("have an index of their tests, which `npm run docs:rules` writes", () => {
    expect(guarantees).toBe(with_index(guarantees, cited));
  });

  test("exist where a test cites them", () => {
    const unknown = [...cited].flatMap(([file, those]) =>
      those.filter((number) => !numbers.includes(number)).map((number) => `rule ${number} in ${file}`),
    );
    expect(unknown).toEqual([]);
  });
});

describe("numbers of rules", () => {
  test("are those of items and of their clauses", () => {
    const markdown = [
      "1. **One.** It costs",
      "   2. 5 of it, or",
      "   1.5 times as much.",
      "",
      "   - 1.1 **A clause.** So",
      "     1.2 is none.",
      "   - 1.2 **Another.**",
      "",
      "2. Two.",
      "```md",
      "3. None.",
      "```",
    ];
    expect(numbers_of(markdown.join("\n"))).toEqual(["1", "1.1", "1.2", "2"]);
  });

  test.each([
    [["1", "1.1", "1.2", "2", "20", "20.1"], []],
    [["1", "1"], ["1"]],
    [["2", "1"], ["1"]],
    [["1", "1.2"], ["1.2"]],
    [["1", "1.1", "1.1"], ["1.1"]],
    [["1", "2", "1.1"], ["1.1"]],
    [["1.1"], ["1.1"]],
    [["1", "1.9", "1.10"], ["1.9"]],
  ])("in the order %j are right but for %j", (order, expected) => {
    expect(out_of_order(order)).toEqual(expected);
  });

  test.each([
    [["8"], ["8.1", "8.2"]],
    [["8.1"], ["8.2"]],
    [["8.2", "8.1"], []],
    [
      ["8", "8.10"],
      ["8.1", "8.2"],
    ],
    [[], ["8", "8.1", "8.2"]],
  ])("where tests cite %j, nobody cites %j", (those, expected) => {
    expect(uncited(["8", "8.1", "8.2"], those)).toEqual(expected);
  });
});

describe("the index of tests", () => {
  const rules = "# Rules\n\n1. One.\n\n   - 1.1 **A clause.**\n\n2. Two.\n";
  const tests = new Map([
    ["b/two.test.ts", ["2", "1.1"]],
    ["a/helper.ts", ["2"]],
  ]);

  test("names the files of each rule and clause, in order", () => {
    const index = with_index(rules, tests).slice(rules.length);
    expect(index.split("\n").filter((line) => line.startsWith("- "))).toEqual([
      "- **1** see its clauses",
      "- **1.1** `b/two`",
      "- **2** `a/helper`, `b/two`",
    ]);
  });

  test("takes the place of an older one", () => {
    const old = with_index(rules, new Map([["old.test.ts", ["1"]]]));
    expect(with_index(old, tests)).toBe(with_index(rules, tests));
  });

  test("has short lines", () => {
    const many = new Map(Array.from({ length: 9 }, (_, n) => [`directory/file-${n}.test.ts`, ["2"]]));
    expect(
      Math.max(
        ...with_index(rules, many)
          .split("\n")
          .map(({ length }) => length),
      ),
    ).toBeLessThanOrEqual(120);
  });
});

describe("names of tests", () => {
  const cited_in = (code: string) => test_names("a.test.ts", code).flatMap(numbers_in);

  test.each([
    ["a plain name", 'test("rule 1: so", () => {});', ["1"]],
    ["several rules", 'it("rules 1, 2 and 3: so", () => {});', ["1", "2", "3"]],
    ["a template", "test(`rule 4: ${name}, and rule 5`, async () => {});", ["4", "5"]],
    ["a group and the test in it", 'describe("rule 6", () => { test("rule 7: so", () => {}); });', ["6", "7"]],
    ["a table", 'test.each([["rule 8: so", 1], ["rule 9: so", 2]])("%s", () => {});', ["8", "9"]],
    ["a condition", 'test.skipIf(is_windows)("rule 10: so", () => {});', ["10"]],
    ["a loop", "for (const x of y) test(`${x} rule 11: so`, { timeout: 1 }, () => {});", ["11"]],
    ["a clause", 'test("rule 8.1: so", () => {});', ["8.1"]],
    ["several clauses", 'test("rules 8.1, 8.10 and 9: so", () => {});', ["8.1", "8.10", "9"]],
    ["the end of a sentence", 'test("so says rule 8. And rule 9.", () => {});', ["8", "9"]],
  ])("cite a rule in %s", (_what, code, expected) => {
    expect(cited_in(code)).toEqual(expected);
  });

  test.each([
    ["a comment", '// rule 1\ntest("so", () => {});'],
    ["what a test runs", 'test("so", () => { expect(1, "rule 1").toBe(1); });'],
    ["a test that is skipped", 'test.skip("rule 1: so", () => {});'],
    ["a group that is skipped", 'describe.skip("so", () => { test("rule 1: so", () => {}); });'],
    ["a plan", 'test.todo("rule 1: so");'],
    ["another function", 'log("rule 1: so");'],
  ])("cite none in %s", (_what, code) => {
    expect(cited_in(code)).toEqual([]);
  });
});
