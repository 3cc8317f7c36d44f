import { readdirSync, readFileSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { project_file, PROJECT_ROOT, prose } from "./markdown.js";

const TEST_FUNCTIONS = ["test", "it", "describe"];
/** A test that is declared like this does not run. */
const SKIPPED = ["skip", "todo"];

/** Reads the numbers of rules and their clauses, in the order of a document: `8`, `8.1`, `8.2`, `9`. */
function numbers_of(markdown: string): string[] {
  return [...prose(markdown).matchAll(/^(\d+)\. |^ +- (\d+\.\d+) /gm)].map(([, rule, clause]) => rule ?? clause ?? "");
}

/** Reads the numbers that a name cites: `rule 8`, `rule 8.1`, `rules 8.1 and 9`, `rules 1, 2 and 3`. */
function numbers_in(name: string): string[] {
  return [...name.matchAll(/\brules? (\d+(?:\.\d+)*(?:(?:, | and )\d+(?:\.\d+)*)*)/g)].flatMap(([, numbers = ""]) =>
    numbers.split(/, | and /),
  );
}

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

/** The function that a call goes to, and the properties on the way: `test.skip.each(…)(…)` is test, skip, each. */
function call_path(expression: ts.Expression): string[] {
  if (ts.isIdentifier(expression)) {
    return [expression.text];
  }
  if (ts.isPropertyAccessExpression(expression)) {
    return [...call_path(expression.expression), expression.name.text];
  }
  return ts.isCallExpression(expression) ? call_path(expression.expression) : [];
}

/** Literal text in a test's name, in the table that its name is taken from, but not in what it runs. */
function texts_in(node: ts.Node): string[] {
  if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node)) {
    return [node.text];
  }
  if (ts.isFunctionLike(node)) {
    return [];
  }
  const texts: string[] = [];
  ts.forEachChild(node, (child) => void texts.push(...texts_in(child)));
  return texts;
}

/** The texts of all names of tests in a file, those that never run left out. */
function test_names(file: string, code: string): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const [root = "", ...properties] = call_path(node.expression);
      if (TEST_FUNCTIONS.includes(root)) {
        if (properties.some((property) => SKIPPED.includes(property))) {
          return;
        }
        names.push(...node.arguments.flatMap(texts_in));
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, code, ts.ScriptTarget.Latest));
  return names;
}

const numbers = numbers_of(project_file("docs/guarantees.md"));

/** Numbers of rules and clauses by the file that cites them. */
const cited = new Map<string, string[]>();
const test_root = fileURLToPath(new URL("test/", PROJECT_ROOT));
for (const entry of readdirSync(test_root, { recursive: true, withFileTypes: true })) {
  if (entry.isFile() && entry.name.endsWith(".ts") && entry.parentPath !== import.meta.dirname) {
    const path = `${entry.parentPath}${sep}${entry.name}`;
    const names = test_names(path, readFileSync(path, "utf8"));
    cited.set(relative(test_root, path), names.flatMap(numbers_in));
  }
}

describe("the numbered guarantees", () => {
  test("are numbered once each, in order", () => {
    expect(numbers).toContain("8");
    expect(numbers).toContain("8.1");
    expect(out_of_order(numbers)).toEqual([]);
  });

  test("are all cited by a test", () => {
    expect(uncited(numbers, [...cited.values()].flat())).toEqual([]);
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
