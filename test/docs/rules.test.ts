import { readdirSync, readFileSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { project_file, PROJECT_ROOT, prose } from "./markdown.js";

const TEST_FUNCTIONS = ["test", "it", "describe"];
/** A test that is declared like this does not run. */
const SKIPPED = ["skip", "todo"];

/** The numbers of the rules in a document: its items numbered by hand. */
function rules_of(markdown: string): number[] {
  return [...prose(markdown).matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
}

/** `rule 8`, `rules 8 and 9`, `rules 1, 2 and 3`. */
function rules_in(name: string): number[] {
  return [...name.matchAll(/\brules? (\d+(?:(?:, | and )\d+)*)/g)].flatMap(([, numbers = ""]) =>
    numbers.split(/, | and /).map(Number),
  );
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

const rules = rules_of(project_file("docs/guarantees.md"));

/** Numbers of rules by the file that cites them. */
const cited = new Map<string, number[]>();
const test_root = fileURLToPath(new URL("test/", PROJECT_ROOT));
for (const entry of readdirSync(test_root, { recursive: true, withFileTypes: true })) {
  if (entry.isFile() && entry.name.endsWith(".ts") && entry.parentPath !== import.meta.dirname) {
    const path = `${entry.parentPath}${sep}${entry.name}`;
    const names = test_names(path, readFileSync(path, "utf8"));
    cited.set(relative(test_root, path), names.flatMap(rules_in));
  }
}

describe("the numbered guarantees", () => {
  test("are numbered once each, in order", () => {
    expect(rules.length).toBeGreaterThan(0);
    expect(rules).toEqual([...new Set(rules)].sort((a, b) => a - b));
  });

  test("are all cited by a test", () => {
    const all = new Set([...cited.values()].flat());
    expect(rules.filter((rule) => !all.has(rule))).toEqual([]);
  });

  test("exist where a test cites them", () => {
    const unknown = [...cited].flatMap(([file, numbers]) =>
      numbers.filter((number) => !rules.includes(number)).map((number) => `rule ${number} in ${file}`),
    );
    expect(unknown).toEqual([]);
  });
});

describe("names of tests", () => {
  const names_of = (code: string) => test_names("a.test.ts", code).flatMap(rules_in);

  test.each([
    ["a plain name", 'test("rule 1: so", () => {});', [1]],
    ["several rules", 'it("rules 1, 2 and 3: so", () => {});', [1, 2, 3]],
    ["a template", "test(`rule 4: ${name}, and rule 5`, async () => {});", [4, 5]],
    ["a group and the test in it", 'describe("rule 6", () => { test("rule 7: so", () => {}); });', [6, 7]],
    ["a table", 'test.each([["rule 8: so", 1], ["rule 9: so", 2]])("%s", () => {});', [8, 9]],
    ["a condition", 'test.skipIf(is_windows)("rule 10: so", () => {});', [10]],
    ["a loop", "for (const x of y) test(`${x} rule 11: so`, { timeout: 1 }, () => {});", [11]],
  ])("cite a rule in %s", (_what, code, expected) => {
    expect(names_of(code)).toEqual(expected);
  });

  test.each([
    ["a comment", '// rule 1\ntest("so", () => {});'],
    ["what a test runs", 'test("so", () => { expect(1, "rule 1").toBe(1); });'],
    ["a test that is skipped", 'test.skip("rule 1: so", () => {});'],
    ["a group that is skipped", 'describe.skip("so", () => { test("rule 1: so", () => {}); });'],
    ["a plan", 'test.todo("rule 1: so");'],
    ["another function", 'log("rule 1: so");'],
  ])("cite none in %s", (_what, code) => {
    expect(names_of(code)).toEqual([]);
  });
});
