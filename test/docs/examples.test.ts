import { readdirSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { project_file, PROJECT_ROOT } from "./markdown.js";
import { type_check, typescript_blocks, type ExampleModule } from "./typescript-blocks.js";

const MUST_HAVE_EXAMPLES = ["README.md", "EXTENSIBILITY.md"];
const COMPILATION_MS = 120_000;

const others = readdirSync(new URL("docs/", PROJECT_ROOT)).filter((name) => name.endsWith(".md"));
const documents = [...MUST_HAVE_EXAMPLES, ...others.map((name) => `docs/${name}`)];

function blocks_of(document: string): ExampleModule[] {
  return typescript_blocks(document, project_file(document));
}

const modules = documents.flatMap(blocks_of);

describe("the TypeScript examples of the documents compile", () => {
  let problems: Map<string, string[]>;

  beforeAll(() => {
    problems = type_check(modules);
  }, COMPILATION_MS);

  test.each(MUST_HAVE_EXAMPLES)("%s has any", (document) => {
    expect(blocks_of(document)).not.toEqual([]);
  });

  test.each(modules.map(({ name }) => name))("%s", (name) => {
    expect(problems.get(name)).toEqual([]);
  });
});
