import type { SessionStore } from "@simulacra-ai/session";
import { verify_session_store } from "@simulacra-ai/session/conformance";
import ts from "typescript";
import { expect, test } from "vitest";
import { project_file } from "./markdown.js";
import { typescript_blocks } from "./typescript-blocks.js";

interface KeyValueModule {
  KeyValueSessionStore: new (client: object) => SessionStore;
}

/** The example as it stands in the document, over a map. */
async function key_value_example(): Promise<() => SessionStore> {
  const blocks = typescript_blocks("EXTENSIBILITY.md", project_file("EXTENSIBILITY.md"));
  const { code } = blocks.find((block) => block.code.includes("class KeyValueSessionStore")) ?? { code: "" };
  const { outputText: script } = ts.transpileModule(code, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  const example = (await import(/* @vite-ignore */ url)) as KeyValueModule;
  return () => {
    const values = new Map<string, string>();
    return new example.KeyValueSessionStore({
      get: async (key: string) => values.get(key) ?? null,
      set: async (key: string, value: string) => void values.set(key, value),
      delete: async (key: string) => values.delete(key),
      keys: async (prefix: string) => [...values.keys()].filter((key) => key.startsWith(prefix)),
    });
  };
}

test("rule 28: the store of four methods in EXTENSIBILITY.md passes its part", async () => {
  const open = await key_value_example();
  const { cases, passed, failed } = await verify_session_store({ open });
  expect(cases.filter(({ result }) => result === "fail")).toEqual([]);
  expect(failed).toBe(0);
  expect(passed).toBeGreaterThan(15);
  const not_claimed = cases.filter(({ result }) => result === "not_claimed").map(({ group }) => group);
  expect(not_claimed).toEqual(expect.arrayContaining(["metadata merge", "append", "update", "drafts"]));
});
