import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Linter } from "eslint";
import * as prettier from "prettier";
import { describe, expect, onTestFinished, test } from "vitest";
import { parser } from "typescript-eslint";
import local from "../../scripts/lint/rules.js";
import { new_directory } from "../support/temporary-directory.js";

/** Reports of one rule about a piece of code. */
function reports(rule: string, code: string, filename = "code.js"): string[] {
  const config = [
    {
      files: ["**/*.ts", "**/*.js"],
      languageOptions: { parser },
      plugins: { local },
      rules: { [`local/${rule}`]: "error" },
    },
  ];
  return new Linter({ cwd: "/" }).verify(code, config as Linter.Config[], filename).map(({ message }) => message);
}

describe("comments", () => {
  test.each([
    "// What it does",
    "/* Whether */",
    "/** Who reads it. */",
    "/**\n * So many of them.\n */",
    "a; // What?",
  ])("that begin like %j are reported", (code) => {
    expect(reports("comment-beginnings", code)).toHaveLength(1);
  });

  test.each([
    "// Says what it does",
    "// Reads as far as the file goes:\n// What is behind that is lost.",
    "/** Whatever it is. */",
    'const text = "// What";',
    "/** Returns the id.\n * What else? */",
  ])("that begin like %j are not", (code) => {
    expect(reports("comment-beginnings", code)).toEqual([]);
  });
});

describe("cycles between files", () => {
  const files = (texts: Record<string, string>) => {
    const { path, remove } = new_directory();
    onTestFinished(remove);
    for (const [name, text] of Object.entries(texts)) {
      writeFileSync(join(path, name), text);
    }
    return (name: string) => reports("cycles", texts[name] ?? "", join(path, name)).length;
  };

  test.each([
    ["of values", 'import "./b.js";'],
    ["of types", 'import type { B } from "./b.js";'],
    ["of a type in an expression", 'let b: import("./b.js").B;'],
    ["of a re-export", 'export * from "./b.js";'],
    ["of a dynamic import", 'await import("./b.js");'],
  ])("%s are reported at both ends, and nowhere else", (_, text) => {
    const count = files({
      "a.ts": text,
      "b.ts": 'import "./c.js";',
      "c.ts": 'import "./a.js";',
      "d.ts": 'import "./a.js";',
    });
    expect(["a.ts", "b.ts", "c.ts", "d.ts"].map(count)).toEqual([1, 1, 1, 0]);
  });
});

describe("tables", () => {
  const lint = (text: string) => {
    local.processors.markdown.preprocess(text, "a.md");
    return local.processors.markdown.postprocess([], "a.md").map(({ line }) => line);
  };
  const wide = `| ${"x".repeat(140)} |`;

  test("with lines of more than 140 characters are reported, outside of code", () => {
    expect(lint(`# A\n\n${wide}\n${wide.slice(4)}\n\n\`\`\`\n${wide}\n\`\`\`\n\n${wide}`)).toEqual([3, 10]);
  });

  test("are not padded by the formatter, and read the same", async () => {
    const text = "|a|b|\n|:-|-:|\n|long \\| text|`x \\| y`|\n||z|\n";
    const formatted = await prettier.format(text, {
      ...(await prettier.resolveConfig("README.md")),
      parser: "markdown",
    });
    expect(formatted).toBe("| a | b |\n| :-- | --: |\n| long \\| text | `x \\| y` |\n|  | z |\n");
  });
});

test("the list of exceptions names files that are there", () => {
  const listed = JSON.parse(readFileSync("eslint-suppressions.json", "utf8")) as object;
  expect(Object.keys(listed).filter((file) => !existsSync(file))).toEqual([]);
});
