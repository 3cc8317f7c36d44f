/** The numbered rules of docs/guarantees.md, and the tests that cite these rules in their names. */
import { readdirSync, readFileSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { PROJECT_ROOT, prose } from "./markdown.js";

const TEST_FUNCTIONS = ["test", "it", "describe"];
/** A test that is declared like this does not run. */
const SKIPPED = ["skip", "todo"];

/** Reads the numbers of rules and their clauses, in the order of a document: `8`, `8.1`, `8.2`, `9`. */
export function numbers_of(markdown: string): string[] {
  return [...prose(markdown).matchAll(/^(\d+)\. |^ +- (\d+\.\d+) /gm)].map(([, rule, clause]) => rule ?? clause ?? "");
}

/** Reads the numbers that a name cites: `rule 8`, `rule 8.1`, `rules 8.1 and 9`, `rules 1, 2 and 3`. */
export function numbers_in(name: string): string[] {
  return [...name.matchAll(/\brules? (\d+(?:\.\d+)*(?:(?:, | and )\d+(?:\.\d+)*)*)/g)].flatMap(([, numbers = ""]) =>
    numbers.split(/, | and /),
  );
}

/** Returns the function that a call goes to, and the properties on the way: `test.skip.each(…)(…)` is test, skip, each. */
function call_path(expression: ts.Expression): string[] {
  if (ts.isIdentifier(expression)) {
    return [expression.text];
  }
  if (ts.isPropertyAccessExpression(expression)) {
    return [...call_path(expression.expression), expression.name.text];
  }
  return ts.isCallExpression(expression) ? call_path(expression.expression) : [];
}

/** Returns the literal texts in a test's name, and in the table that its name is taken from, but not in what it runs. */
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

/** Reads the names of all tests in a file. Tests that never run are left out. */
export function test_names(file: string, code: string): string[] {
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

/** Reads the numbers of rules and clauses that tests cite, by file. Files are named from `test/`. */
export function cited_by_file(): Map<string, string[]> {
  const cited = new Map<string, string[]>();
  const root = fileURLToPath(new URL("test/", PROJECT_ROOT));
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = `${entry.parentPath}${sep}${entry.name}`;
    if (entry.isFile() && entry.name.endsWith(".ts") && entry.name !== "rules.test.ts") {
      const names = test_names(path, readFileSync(path, "utf8"));
      cited.set(relative(root, path).replaceAll(sep, "/"), names.flatMap(numbers_in));
    }
  }
  return cited;
}

const INDEX_HEADING = "## Tests by rule\n";
const MAX_WIDTH = 120;

/** Puts the index of tests at the end of a document, in place of an older one. */
export function with_index(markdown: string, cited: ReadonlyMap<string, readonly string[]>): string {
  const [rules = ""] = markdown.split(`\n${INDEX_HEADING}`);
  const items = numbers_of(rules).map((number) => {
    const files = [...cited].filter(([, numbers]) => numbers.includes(number)).map(([file]) => file);
    return item(`- **${number}**`, files.sort());
  });
  return `${rules.trimEnd()}\n\n${INDEX_HEADING}\nWritten by \`npm run docs:rules\`. These files are in \`test/\` of the repository.\n\n${items.join("\n")}\n`;
}

/** Names the files, without links: the package has the document, and not the tests. A rule with clauses may have no test. */
function item(head: string, files: readonly string[]): string {
  const names = files.map((file) => `\`${file.replace(/(\.test)?\.ts$/, "")}\``);
  const lines = [head];
  for (const name of names.length > 0 ? names : ["see its clauses"]) {
    const last = lines.at(-1) ?? "";
    const separator = last === head ? " " : ", ";
    if (last !== head && `${last}${separator}${name}`.length > MAX_WIDTH) {
      lines[lines.length - 1] = `${last},`;
      lines.push(`  ${name}`);
    } else {
      lines[lines.length - 1] = `${last}${separator}${name}`;
    }
  }
  return lines.join("\n");
}
