import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../helpers.js";
import { append, publish, texts_in, tree, with_journal } from "./files.js";

const DRAFT = { prompt: { role: "user" as const, id: "p", content: [] }, updated_at: "2024-01-01T00:00:00.000Z" };

test.each(["x.META", "x.Meta"])(
  "rule 37.1: %s is refused, because another id's file has that name where case is ignored",
  async (id) => {
    const store = new FileSessionStore(quick_directory());
    expect(await outcome_of(store.save(id, []))).toBe("invalid_id");
  },
);

test.each([
  ["an object", '{"guid":"5"}'],
  ["a list", "[1,2]"],
  ["null", "null"],
])("rule 36.1: a .meta.json file of another program (%s) is no session", async (_, text) => {
  const root = quick_directory();
  const store = new FileSessionStore(root, { format: "ndjson" });
  await store.save("other", [message("fine")]);
  fs.writeFileSync(join(root, "logo.meta.json"), text);
  expect((await store.list()).map(({ id }) => id)).toEqual(["other"]);
  expect(await store.verify()).toMatchObject([{ code: "not_a_session", session_id: "logo" }]);
  expect(await outcome_of(store.load("logo"))).toBe("corrupt");
});

test.each(["package.json", "logo.meta.json"])(
  "rule 36.1: neither delete nor repair touches %s, which was never a session",
  async (name) => {
    const root = quick_directory();
    const store = new FileSessionStore(root);
    fs.writeFileSync(join(root, name), '{"name":"p"}');
    const id = name.replace(/(.meta)?.json$/, "");
    expect(await store.delete(id)).toBe(false);
    expect(await outcome_of(store.repair(id))).toBe("corrupt");
    expect(tree(root)).toEqual([name]);
  },
);

test.each([
  ["a directory", (path: string) => fs.mkdirSync(path)],
  ["a link", (path: string) => fs.symlinkSync("/nowhere", path)],
])("rule 36.3: %s in the place of the next messages costs a session nothing", async (_, make) => {
  const root = quick_directory();
  const store = new FileSessionStore(root, { format: "ndjson" });
  await store.save("s", [message("one")], { label: "L" });
  make(join(root, "s.ndjson.next"));
  const next = new FileSessionStore(root);
  await append(next, ["two"]);
  expect(await next.update("s", { model: "m" })).toBe(true);
  await next.flush();
  await next.save("s", (await loaded(next)).messages);
  expect((await loaded(next)).metadata).toMatchObject({ label: "L", model: "m" });
  expect(await texts_in(root)).toEqual(["one", "two"]);
});

test("rule 26: a deletion that cannot have the draft's lock has deleted nothing", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root, { lock_timeout_ms: 20 });
  await store.save("s", [message("one")]);
  await store.set_draft("s", DRAFT);
  fs.symlinkSync("nobody", join(root, "s.draft-lock"));
  expect(await outcome_of(store.delete("s"))).toBe("storage");
  expect((await loaded(store)).draft).toMatchObject(DRAFT);
  fs.rmSync(join(root, "s.draft-lock"));
  expect(await store.delete("s")).toBe(true);
  expect(tree(root)).toEqual([]);
});

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return Array.isArray(value) ? value.map(sorted) : value;
  }
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, of]) => [key, sorted(of)]));
}

test.each([0, 2])(
  "rule 42: repair of a file whose keys were sorted (indent %d) keeps what the journal adds",
  async (indent) => {
    const root = quick_directory();
    const store = await with_journal(root);
    const path = join(root, "s.json");
    fs.writeFileSync(path, JSON.stringify(sorted(JSON.parse(fs.readFileSync(path, "utf8"))), null, indent));
    expect(await outcome_of(store.load("s"))).toBe("corrupt");
    await store.repair("s");
    expect(await texts_in(root)).toEqual(["one", "two", "three"]);
    expect((await loaded(store)).metadata).toMatchObject({ label: "L" });
  },
);

test("rule 36.2: a copy of a head and its journal without the messages is not listed", async () => {
  const root = quick_directory();
  const store = await with_journal(root, {}, {}, "ndjson");
  fs.copyFileSync(join(root, "s.meta.json"), join(root, "s (1).meta.json"));
  fs.copyFileSync(join(root, "s.journal"), join(root, "s (1).journal"));
  expect((await store.list()).map(({ id }) => id)).toEqual(["s"]);
});

test.each(["json", "ndjson"] as const)(
  "rule 36: a session whose id was damaged in its own head is listed as damaged, and is no copy (%s)",
  async (format) => {
    for (const has_journal of [true, false]) {
      const root = quick_directory();
      const store = await with_journal(root, {}, {}, format);
      await (has_journal ? undefined : store.flush());
      const path = join(root, format === "json" ? "s.json" : "s.meta.json");
      fs.writeFileSync(path, fs.readFileSync(path, "utf8").replace('"id":"s"', '"id":"r"'));
      expect(await outcome_of(store.load("s"))).toBe("corrupt");
      expect(await store.list()).toMatchObject([{ id: "s", damaged: expect.any(String) as string }]);
      expect((await store.verify()).map(({ code }) => code)).toEqual(["corrupt"]);
    }
  },
);

test("rule 30: the next write removes the link of a parent that another program has changed", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root);
  await store.save("s", [message("one")], { parent_id: "old" });
  publish(root, "s", { parent_id: "new" }, [message("theirs")]);
  expect(await store.update("s", { label: "L" })).toBe(true);
  expect(tree(root)).toEqual(["new-forks/", "new-forks/s.json", "s.json"]);
});

test("rule 42: verify() names an .ndjson file beside a session in the other format", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root);
  await store.save("s", [message("one")]);
  fs.writeFileSync(join(root, "s.ndjson"), "x");
  expect(await store.verify()).toMatchObject([{ code: "orphaned_messages", session_id: "s" }]);
});

test("rule 40: a snapshot that looks too short for a moment is read again by a write", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root);
  await store.save("s", [message("one")]);
  const path = join(root, "s.json");
  const whole = fs.readFileSync(path);
  const { revision } = await loaded(store);
  fs.writeFileSync(path, whole.subarray(0, whole.length - 20));
  setTimeout(() => fs.writeFileSync(path, whole), 5);
  const other = new FileSessionStore(root);
  await other.append("s", [message("two")], { revision });
  expect(texts_of((await loaded(other)).messages)).toEqual(["one", "two"]);
});

test("rule 25: a root with a NUL byte is invalid", () => {
  expect(() => new FileSessionStore("a\0b")).toThrow(expect.objectContaining({ code: "invalid_input" }));
});

test("rule 34: a write that was cut short in a text full of record marks holds nobody up", async () => {
  const root = quick_directory();
  await with_journal(root);
  const text = JSON.stringify(message("#0123456789abcdef 0900000 ".repeat(120_000)));
  fs.appendFileSync(join(root, "s.journal"), text);
  expect(await texts_in(root)).toEqual(["one", "two", "three"]); // which took minutes
});
