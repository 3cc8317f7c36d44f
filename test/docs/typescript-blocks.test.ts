import { expect, test } from "vitest";
import { markdown_parts, prose } from "./markdown.js";
import { type_check, typescript_blocks } from "./typescript-blocks.js";

const FENCE = "```";
const LONG_FENCE = "````";
const COMPILATION_MS = 120_000;

/** A block of each sort, on known lines. */
const DOCUMENT = [
  "# Title", // 1
  FENCE + "ts", // 2
  'import { SessionManager } from "@simulacra-ai/session";',
  "const one: number = 1;", // 4
  FENCE,
  "",
  "<!-- continues -->", // 7
  "",
  FENCE + "typescript title=more",
  "const two: string = one;", // 10: an error, and `one` is known
  FENCE,
  "Text.", // 12
  FENCE + "ts",
  "export const three = one;", // 14: an error, `one` is not known
  FENCE,
  LONG_FENCE + "md", // 16
  FENCE + "ts",
  "not a block",
  FENCE,
  LONG_FENCE, // 20
  "~~~ts",
  'import type { Message } from "@simulacra-ai/core";', // 22
  'import { InMemorySessionStore, type SessionStore } from "@simulacra-ai/session";',
  "export const store: SessionStore = new InMemorySessionStore();", // 24
  'await store.save("a", [] satisfies Message[]);',
  "~~~", // 26
  FENCE + "json",
  "{}", // 28
  FENCE,
].join("\n");

test("blocks are found by their language, and continued where the comment says so", () => {
  const blocks = typescript_blocks("a.md", DOCUMENT);
  expect(blocks.map(({ name }) => name)).toEqual(["a.md:3", "a.md:14", "a.md:22"]);
  expect(blocks[0]?.code.split("\n")[9]).toBe("const two: string = one;");
});

test("what does not compile is reported, with its line in the document", { timeout: COMPILATION_MS }, () => {
  expect([...type_check(typescript_blocks("a.md", DOCUMENT))]).toEqual([
    ["a.md:3", ["line 10: Type 'number' is not assignable to type 'string'."]],
    ["a.md:14", ["line 14: Cannot find name 'one'."]],
    ["a.md:22", []],
  ]);
});

test("a continuation of nothing and a block without an end are mistakes", () => {
  expect(() => typescript_blocks("a.md", `<!-- continues -->\n${FENCE}ts\n${FENCE}`)).toThrow(
    "a.md:3 continues nothing",
  );
  expect(() => markdown_parts(`Text.\n${FENCE}ts\ncode`)).toThrow("the block at line 3 has no end");
});

test("prose is the document without its blocks, line for line", () => {
  const lines = prose(DOCUMENT).split("\n");
  expect(lines).toHaveLength(DOCUMENT.split("\n").length);
  expect(lines.flatMap((line, index) => (line === "" ? [] : [`${index + 1} ${line}`]))).toEqual([
    "1 # Title",
    "7 <!-- continues -->",
    "12 Text.",
  ]);
});
