import { existsSync, readdirSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { markdown_parts, project_file, PROJECT_ROOT, prose } from "./markdown.js";

const README_COMMANDS = ["npm ci && npm run demo", "npm ci && npm test"];

const documents = ["README.md", "EXTENSIBILITY.md", "CHANGELOG.md"];
for (const name of readdirSync(new URL("docs/", PROJECT_ROOT))) {
  if (name.endsWith(".md")) {
    documents.push(`docs/${name}`);
  }
}

const { scripts } = JSON.parse(project_file("package.json")) as { scripts: Record<string, string> };

/** Where links of a document lead, those to other hosts left out. */
function links_of(markdown: string): string[] {
  const text = prose(markdown).replaceAll(/`[^`]*`/g, "");
  const inline = [...text.matchAll(/\]\(\s*(?:<([^>]+)>|([^)\s]+))/g)];
  const defined = [...text.matchAll(/^ {0,3}\[[^\]]+\]:\s*(?:<([^>]+)>|(\S+))/gm)];
  const html = [...text.matchAll(/\b(?:href|src)="([^"]+)"/g)];
  return [...inline, ...defined, ...html]
    .map(([, bracketed, target = ""]) => bracketed ?? target)
    .filter((target) => !/^[a-z][a-z0-9+.-]*:|^\/\//i.test(target));
}

/** The anchors of a document's headings, as hosts of repositories make them. */
function anchors_of(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of prose(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = text.replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, "").replaceAll(" ", "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count += 1) {
      unique = `${anchor}-${count}`;
    }
    anchors.add(unique);
  }
  return anchors;
}

/** Why a link of a document leads nowhere, if it does. */
function broken(document: string, link: string): string | undefined {
  const target = new URL(link, new URL(document, PROJECT_ROOT));
  const anchor = decodeURIComponent(target.hash.slice(1));
  target.hash = "";
  if (!target.href.startsWith(PROJECT_ROOT.href)) {
    return `${link} leads out of the project`;
  }
  if (!existsSync(target)) {
    return `${link} does not exist`;
  }
  if (anchor !== "" && (!statSync(target).isFile() || !anchors_of(project_file(target.href)).has(anchor))) {
    return `${link} names no heading`;
  }
  return undefined;
}

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

  test("are found in every form, outside of code", () => {
    const markdown = [
      "[a](a.md), ![b](b.png 'title'), [c][c] and [d](<d e.md>) but not `[x](x.md)` or [y](https://example.org/y.md)",
      '<img src="f.png"> <a href="#g">g</a>',
      "[c]: ./c.md",
      "```md",
      "[z](z.md)",
      "```",
    ].join("\n");
    expect(links_of(markdown)).toEqual(["a.md", "b.png", "d e.md", "./c.md", "f.png", "#g"]);
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
