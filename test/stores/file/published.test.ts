import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { loaded, message, quick_directory, texts_of } from "../helpers.js";
import { append, inode, parsed, publish, tree } from "./files.js";

const METADATA = {
  id: "s",
  created_at: "2024-01-01T00:00:00.000Z",
  updated_at: "2024-01-02T00:00:00.000Z",
  provider: "anthropic",
  model: "M",
  label: "L",
  message_count: 2,
  checkpoint_state: { message_id: "x", summary: '\u2028 }{ \\" ,' },
  unheard_of: { a: [1] },
};
const MESSAGES = [message("one"), message('two "}]\\', { extended: { metadata: { a: {} } } })];
const pretty = (value: unknown) => JSON.stringify(value, null, 2);
const UNDATED = Object.fromEntries(Object.entries(METADATA).filter(([key]) => !key.endsWith("_at")));

/** Files as other programs write them, all of the same session. */
const FILES: [string, string, object?][] = [
  ["as it is published", pretty({ metadata: METADATA, messages: MESSAGES })],
  ["without dates", pretty({ metadata: UNDATED, messages: MESSAGES }), UNDATED],
  ["with the id of another", pretty({ metadata: { ...METADATA, id: "other" }, messages: MESSAGES })],
  ["with a byte order mark", `\ufeff${pretty({ metadata: METADATA, messages: MESSAGES })}`],
  ["with the messages first", pretty({ messages: MESSAGES, metadata: METADATA })],
  ["in one line", JSON.stringify({ metadata: METADATA, messages: MESSAGES })],
  ["in Windows lines", pretty({ metadata: METADATA, messages: MESSAGES }).replaceAll("\n", "\r\n")],
  ["in our first line's look", pretty({ metadata: METADATA, messages: MESSAGES }).replace("{\n  ", "{\n")],
  ["with white space around", `\n\t ${pretty({ metadata: METADATA, messages: MESSAGES })} \n\n`],
  ["with other keys", pretty({ version: 3, metadata: METADATA, messages: MESSAGES, more: [1] })],
  ["with a wrong count", pretty({ metadata: { ...METADATA, message_count: "2" }, messages: MESSAGES })],
  ["with nulls", pretty({ metadata: { ...METADATA, parent_id: null }, messages: MESSAGES })],
  [
    "with huge metadata",
    pretty({ metadata: { ...METADATA, custom: { long: "ü}".repeat(50_000) } }, messages: MESSAGES }),
    { ...METADATA, custom: { long: "ü}".repeat(50_000) } },
  ],
];

describe.each(FILES)("a file %s", (_, file, metadata = METADATA) => {
  function written(): { root: string; store: FileSessionStore } {
    const root = quick_directory();
    fs.writeFileSync(join(root, "s.json"), file);
    return { root, store: new FileSessionStore(root) };
  }

  test("rule 40: load and list read it as it is, and leave it alone", async () => {
    const { root, store } = written();
    const session = await loaded(store);
    expect(JSON.stringify(session.messages)).toBe(JSON.stringify(MESSAGES));
    expect(session.metadata).toMatchObject({ ...metadata, id: "s", message_count: 2 });
    expect(session.metadata).not.toHaveProperty("parent_id");
    expect(Number.isNaN(Date.parse(session.metadata.created_at) + Date.parse(session.metadata.updated_at))).toBe(false);
    expect(await store.list()).toEqual([session.metadata]);
    expect(fs.readFileSync(join(root, "s.json"), "utf8")).toBe(file);
    expect(tree(root)).toEqual(["s.json"]);
  });

  test.each(["append", "update", "save", "replace"] as const)("rule 40: %s goes on from it", async (way) => {
    const { root, store } = written();
    fs.utimesSync(join(root, "s.json"), 1_700_000_000, 1_700_000_000); // where a file has no dates, its own count
    const before = await loaded(store);
    const { revision } = before;
    const all = [...MESSAGES, message("three")];
    const extra = { custom: { added: true } };
    const change = {
      append: () => store.append("s", [message("three")], { revision, metadata: extra }),
      update: () => store.update("s", extra),
      save: () => store.save("s", all, extra),
      replace: () => store.replace("s", all, { revision, metadata: extra }),
    };
    await change[way]();
    const check = async () => {
      const after = await loaded(new FileSessionStore(root));
      expect(JSON.stringify(after.messages)).toBe(JSON.stringify(way === "update" ? MESSAGES : all));
      const { created_at, updated_at, ...rest } = before.metadata;
      expect(after.metadata).toMatchObject({ ...rest, created_at, ...extra, message_count: after.messages.length });
      expect(after.metadata.updated_at > updated_at || way === "update").toBe(true);
      expect(await store.list()).toEqual([after.metadata]);
    };
    await check();
    await store.flush();
    await check();
    expect(tree(root)).toEqual(["s.json"]);
    const { metadata: at_rest, messages } = parsed(root);
    expect(at_rest).toMatchObject({ id: "s", label: "L", unheard_of: { a: [1] }, message_count: messages.length });
  });
});

test("rule 40: a change of metadata keeps the revision of a published file", async () => {
  const root = quick_directory();
  publish(root, "s", METADATA, MESSAGES);
  const store = new FileSessionStore(root);
  const { revision } = await loaded(store);
  await store.update("s", { label: "new" });
  expect((await loaded(store)).revision).toBe(revision);
  await new FileSessionStore(root).append("s", [message("three")], { revision });
  expect((await loaded(store)).messages).toHaveLength(3);
});

test("rule 40: a whole published directory, forks with their links, is read and taken over", async () => {
  const root = quick_directory();
  publish(root, "p", { id: "p", updated_at: "2024-01-03T00:00:00.000Z", message_count: 1 }, [message("p")]);
  publish(root, "f", { id: "f", parent_id: "p", updated_at: "2024-01-02T00:00:00.000Z", message_count: 1 }, [
    message("f"),
  ]);
  publish(root, "c", { id: "c", parent_id: "p", detached: true, updated_at: "2024", message_count: 0 }, []);
  fs.mkdirSync(join(root, "p-forks"));
  fs.linkSync(join(root, "f.json"), join(root, "p-forks", "f.json"));
  fs.linkSync(join(root, "c.json"), join(root, "p-forks", "c.json"));
  const store = new FileSessionStore(root);
  expect((await store.list()).map(({ id }) => id)).toEqual(["p", "f", "c"]);
  expect((await store.list({ kinds: ["child"] })).map(({ id }) => id)).toEqual(["c"]);
  await append(store, ["more"], "f");
  await store.flush();
  expect(inode(root, "f.json")).toBe(inode(root, "p-forks", "f.json"));
  expect(texts_of((await loaded(store, "f")).messages)).toEqual(["f", "more"]);
  await store.delete("f");
  await store.delete("c");
  expect(tree(root)).toEqual(["p.json"]);
});
