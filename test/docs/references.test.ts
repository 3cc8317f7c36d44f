import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { broken, leads_elsewhere, links_of } from "./links.js";
import { markdown_parts, project_file, PROJECT_ROOT } from "./markdown.js";

const README_COMMANDS = ["npm ci && npm run demo", "npm ci && npm test"];

const documents = ["README.md", "EXTENSIBILITY.md", "CHANGELOG.md"];
for (const name of readdirSync(new URL("docs/", PROJECT_ROOT))) {
  if (name.endsWith(".md")) {
    documents.push(`docs/${name}`);
  }
}

const { scripts } = JSON.parse(project_file("package.json")) as { scripts: Record<string, string> };

/** Names of scripts that a text has npm run. */
function scripts_in(text: string): string[] {
  const run = [...text.matchAll(/\bnpm run(?:-script)?\s+(?:-\S+\s+)*([a-z][a-z0-9:_-]*)/g)].map(
    ([, name = ""]) => name,
  );
  const short = [...text.matchAll(/\bnpm (test|start|stop|restart)\b/g)].map(([, name = ""]) => name);
  return [...run, ...short];
}

describe("links", () => {
  test.each(documents)("of %s lead to files and headings that exist", (document) => {
    expect(links_of(project_file(document)).flatMap((link) => broken(document, link) ?? [])).toEqual([]);
  });

  test.each(["README.md", "EXTENSIBILITY.md"])("of %s stay in the package and its repository", (document) => {
    expect(links_of(project_file(document)).filter(leads_elsewhere)).toEqual([]);
  });

  test("are found in every form, outside of code", () => {
    const markdown = [
      "[a](a.md), ![b](b.png 'title'), [c][c] and [d](<d e.md>) but not `[x](x.md)`; see https://example.org/h.",
      '<img src="f.png"> <a href="#g">g</a> <https://example.org/i>',
      "[c]: ./c.md",
      "```md",
      "[z](z.md)",
      "```",
    ].join("\n");
    expect(links_of(markdown)).toEqual([
      ...["a.md", "b.png", "d e.md", "./c.md", "f.png", "#g"],
      ...["https://example.org/h", "https://example.org/i"],
    ]);
  });

  test("to the repository are recognised, and followed where they name a file of this package", () => {
    const repository = "https://github.com/simulacra-ai/simulacra";
    const files = `${repository}/blob/main/packages/session`;
    const elsewhere = ["https://github.com/simulacra-ai", `${repository}-2/x`, "mailto:a@example.org", "//example.org"];
    expect([repository, `${repository}/issues`, "docs/format.md", "#a", ...elsewhere].filter(leads_elsewhere)).toEqual(
      elsewhere,
    );
    expect(broken("README.md", `${files}/src/types.ts`)).toBeUndefined();
    expect(broken("README.md", `${files}/src/no-such.ts`)).toBe(`${files}/src/no-such.ts does not exist`);
  });

  test("that lead nowhere are noticed", () => {
    expect(broken("docs/guarantees.md", "guarantees.md#the-session-manager")).toBeUndefined();
    expect(broken("docs/guarantees.md", "#the-session-manager")).toBeUndefined();
    expect(broken("docs/guarantees.md", "../src")).toBeUndefined();
    expect(broken("docs/guarantees.md", "#no-such-heading")).toBe("#no-such-heading names no heading");
    expect(broken("docs/guarantees.md", "README.md.old")).toBe("README.md.old does not exist");
    expect(broken("docs/guarantees.md", "../../other")).toBe("../../other leads out of the project");
  });
});

describe("commands", () => {
  test.each(documents)("of %s are scripts of package.json", (document) => {
    expect(scripts_in(project_file(document)).filter((name) => !(name in scripts))).toEqual([]);
  });

  test("are recognised", () => {
    expect(scripts_in("npm ci && npm run demo; `npm run -s bench:all -- --quick`, npm test or npm install")).toEqual([
      "demo",
      "bench:all",
      "test",
    ]);
  });

  test.each(README_COMMANDS)("the README says: %s", (command) => {
    const blocks = markdown_parts(project_file("README.md")).filter(({ language }) => language !== undefined);
    expect(blocks.flatMap(({ lines }) => lines.map((line) => line.trim()))).toContainEqual(
      expect.stringMatching(new RegExp(`^(\\$ )?${command}( *#.*)?$`)),
    );
  });

  test("the files that scripts name are there", () => {
    const files = Object.values(scripts).flatMap((script) => script.match(/[\w./-]+\.[cm]?[jt]s\b/g) ?? []);
    expect(files).toContain("demo/main.ts");
    expect(files.filter((file) => !existsSync(new URL(file, PROJECT_ROOT)))).toEqual([]);
  });
});
