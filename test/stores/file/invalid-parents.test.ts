import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { open_plain } from "../../support/open-session.js";
import { loaded, loose, message, outcome_of, quick_directory, texts_of } from "../helpers.js";
import { texts_in, tree } from "./files.js";

const DATE = "2024-01-01T00:00:00.000Z";
const FORMATS: FileSessionFormat[] = ["json", "ndjson"];
const INVALID = ["../x", "", 5, "a/b", ".x", "x\u0000", "x".repeat(300), "x.meta", true, { id: "p" }, ["p"]];

/** A directory with a session `s` that another program wrote, below a parent that has no valid id. */
function with_session(format: FileSessionFormat, parent_id: unknown) {
  const above = quick_directory();
  const root = join(above, "sessions");
  fs.mkdirSync(root);
  const metadata = { id: "s", created_at: DATE, updated_at: DATE, message_count: 1, parent_id, fork_message_id: "m" };
  const messages = [message("one")];
  if (format === "json") {
    fs.writeFileSync(join(root, "s.json"), JSON.stringify({ metadata, messages }, null, 2));
  } else {
    fs.writeFileSync(join(root, "s.meta.json"), JSON.stringify(metadata, null, 2));
    fs.writeFileSync(join(root, "s.ndjson"), `${JSON.stringify(messages[0])}\n`);
  }
  const own_files = format === "json" ? ["s.json"] : ["s.meta.json", "s.ndjson"];
  const is_tidy = () => expect(tree(above)).toEqual(["sessions/", ...own_files.map((name) => `sessions/${name}`)]);
  return { root, store: new FileSessionStore(root, { format, durable: false }), is_tidy };
}

describe.each(FORMATS)("%s", (format) => {
  describe.each(INVALID)("below %j", (parent_id) => {
    const kept = { parent_id, fork_message_id: "m" };

    test("rule 37.1: a session whose stored parent has no valid id is written on", async () => {
      const { root, store, is_tidy } = with_session(format, parent_id);
      for (let round = 1; round <= 2; round += 1) {
        let { revision } = await loaded(store);
        ({ revision } = await store.append("s", [message("two")], { revision }));
        await store.append("s", [message("three")], { revision, metadata: { label: "appended" } });
        expect(await store.update("s", { label: "updated" })).toBe(true);
        expect(await texts_in(root)).toEqual(["one", "two", "three"]);
        ({ revision } = await loaded(store));
        await store.replace("s", [message("one")], { revision, metadata: { label: "replaced" } });
        expect(await store.update("s", { label: "updated again" })).toBe(true);
        await store.save("s", [message("one")], { label: "saved" });
        expect((await loaded(new FileSessionStore(root))).metadata).toMatchObject({ ...kept, label: "saved" });
      }
      expect(await store.list()).toEqual([expect.objectContaining({ ...kept, id: "s", message_count: 1 })]);
      expect(await store.verify()).toEqual([]);
      await store.flush();
      is_tidy();
      expect(await store.delete("s")).toBe(true);
      expect(tree(root)).toEqual([]);
    });

    test("rule 37.1: a valid parent takes the place of a stored one without a valid id", async () => {
      const { root, store, is_tidy } = with_session(format, parent_id);
      await store.update("s", { parent_id: "p" });
      expect(tree(root)).toContain(format === "json" ? "p-forks/s.json" : "p-forks/s.ndjson");
      await store.update("s", loose({ parent_id: null }));
      is_tidy();
    });

    test("rule 8: a session whose stored parent has no valid id is loaded, and goes on", async () => {
      const { root, store } = with_session(format, parent_id);
      await store.save("older", [message("older")], { updated_at: "2023-01-01T00:00:00.000Z" });
      const { manager, conversation, errors } = open_plain(store);
      await manager.load();
      expect(manager.current_session_id).toBe("s");
      expect(texts_of(conversation.messages)).toEqual(["one"]);
      expect(errors[0]).toMatchObject({ operation: "load", error: { code: "lineage", session_id: "s" } });
      expect(String(errors[0]?.error)).toContain("valid");
      const count = errors.length;
      conversation.turn("two");
      await manager.flush();
      await manager.rename("s", "renamed");
      expect(await texts_in(root)).toEqual(["one", "two", "re: two"]);
      expect((await loaded(store)).metadata).toMatchObject({ ...kept, label: "renamed" });
      const fork = await manager.fork("s", { message_id: message("one").id as string });
      conversation.turn("another two");
      await manager.flush();
      await manager.delete("s");
      await manager.load(fork);
      expect(texts_of(conversation.messages)).toEqual(["one", "another two", "re: another two"]);
      expect(errors.slice(count).filter(({ operation }) => operation !== "load")).toEqual([]);
    });
  });

  test.each(INVALID)("rule 37.1: %j is no parent to be given, whatever is stored", async (parent_id) => {
    const { root, store } = with_session(format, "../x");
    const before = fs.readFileSync(join(root, format === "json" ? "s.json" : "s.meta.json"), "utf8");
    const { revision } = await loaded(store);
    const given = loose({ parent_id });
    const writes = [
      store.save("s", [], given),
      store.save("new", [], given),
      store.append("s", [message("two")], { revision, metadata: given }),
      store.replace("s", [], { revision, metadata: given }),
      store.update("s", given),
    ];
    for (const write of writes) {
      expect(await outcome_of(write)).toBe("invalid_id");
    }
    expect(fs.readFileSync(join(root, format === "json" ? "s.json" : "s.meta.json"), "utf8")).toBe(before);
    expect(await store.load("new")).toBeUndefined();
  });
});
