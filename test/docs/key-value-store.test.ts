import type { SessionStore } from "@simulacra-ai/session";
import { verify_session_store } from "@simulacra-ai/session/conformance";
import { expect, test } from "vitest";
import { import_example } from "../support/example-module.js";

interface KeyValueModule {
  KeyValueSessionStore: new (client: object) => SessionStore;
}

/** The example as it stands in the document, over a map. */
async function key_value_example(): Promise<() => SessionStore> {
  const example = await import_example<KeyValueModule>("EXTENSIBILITY.md", "class KeyValueSessionStore");
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
