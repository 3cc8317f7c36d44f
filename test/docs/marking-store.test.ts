import { rmSync } from "node:fs";
import type { FileSessionStore } from "@simulacra-ai/session";
import { verify_session_store } from "@simulacra-ai/session/conformance";
import { expect, test } from "vitest";
import { message, quick_directory } from "../stores/helpers.js";
import { import_example } from "../support/example-module.js";

interface MarkingModule {
  MarkingStore: new (root: string) => FileSessionStore & { changed: Set<string> };
}

test("rule 24: the subclass in EXTENSIBILITY.md passes, has the append back, and misses no write", async () => {
  const example = await import_example<MarkingModule>("EXTENSIBILITY.md", "class MarkingStore");
  const above = quick_directory();
  let place = 0;
  const again = () => new example.MarkingStore(`${above}/${place}`);
  const { cases } = await verify_session_store({
    open: () => {
      place += 1;
      return again();
    },
    reopen: again,
    open_second: again,
    close: () => rmSync(`${above}/${place}`, { recursive: true, force: true }),
  });
  expect(cases.filter(({ result }) => result === "fail")).toEqual([]);
  expect(cases.filter(({ group, result }) => group === "append" && result !== "pass")).toEqual([]);

  const store = again();
  await store.save("s", [], { custom: { of: "the application" } });
  store.changed.clear();
  const { revision = "" } = (await store.load("s")) ?? {};
  await store.append("s", [message("one")], { revision });
  expect([...store.changed]).toEqual(["s"]);
  expect((await store.load("s"))?.metadata.custom).toEqual({ of: "the application" });
});
