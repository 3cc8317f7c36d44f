import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, SessionError, SessionManager } from "@simulacra-ai/session";
import { afterEach, describe, expect, test, vi } from "vitest";
import { PlainConversation } from "../../support/plain-conversation.js";
import { message, outcome_of, quick_directory } from "../helpers.js";
import { append, content, texts_in, tree, with_journal } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

afterEach(() => {
  vi.useRealTimers();
});

/** What a snapshot may have become. */
const SNAPSHOTS: [string, (bytes: Buffer) => Buffer | string][] = [
  ["empty", () => ""],
  ["a list", () => "[]"],
  ["null", () => "null"],
  ["a text", () => '"{}"'],
  ["no session", () => "{}"],
  ["metadata alone", () => '{"metadata":{}}'],
  ["messages that are none", () => '{"metadata":{},"messages":{}}'],
  ["a message that is none", () => '{"metadata":{},"messages":[{"role":"user","content":[]},null]}'],
  ["metadata that are none", () => '{"metadata":[],"messages":[]}'],
  ["cut", (bytes) => bytes.subarray(0, bytes.length - 20)],
  ["longer", (bytes) => Buffer.concat([bytes, bytes])],
  ["binary", () => Buffer.from(Array.from({ length: 5000 }, (_, n) => (n * 7919) % 256))],
  ["zeros", (bytes) => Buffer.alloc(bytes.length)],
  ["zeros from the middle on", (bytes) => Buffer.concat([bytes.subarray(0, 200), Buffer.alloc(bytes.length - 200)])],
  ["in UTF-16", (bytes) => Buffer.from(bytes.toString(), "utf16le")],
  ["changed in a message", (bytes) => bytes.toString().replace("one", "ONE")],
  ["changed in the metadata", (bytes) => bytes.toString().replace('"label":"L"', '"label":"M"')],
  ["of a newer version", (bytes) => bytes.toString().replace('"version":1', '"version":2')],
];

/** What a journal may have become that is more than a torn tail. */
const JOURNALS: [string, (bytes: Buffer) => Buffer | string][] = [
  ["changed in the first record", (bytes) => bytes.toString().replace('"two"', '"TWO"')],
  ["changed in the first line", (bytes) => bytes.toString().replace('"journal":1', '"journal":2')],
  ["zeros in the middle", (bytes) => Buffer.from(bytes).fill(0, bytes.indexOf('"two"'), bytes.indexOf('"two"') + 5)],
  ["without its first record", (bytes) => without_line(bytes, 1)],
  ["without its first line", (bytes) => without_line(bytes, 0)],
];

/** Without the record that is closed by the nth line that begins with `#`. */
function without_line(bytes: Buffer, nth: number): string {
  const records = bytes.toString().split(/(?<=^#.*\n)/m);
  return records.filter((_, n) => n !== nth).join("");
}

function aside(root: string, of: string): Buffer[] {
  const names = fs.readdirSync(root).filter((name) => name.startsWith(`${of}.corrupt-`));
  return names.map((name) => fs.readFileSync(join(root, name)));
}

const NO_SESSIONS = ["a list", "null", "a text", "no session"];

const CASES = [
  ...SNAPSHOTS.map(([what, damage]) => ({ what: `a snapshot that is ${what}`, file: "s.json", damage })),
  ...JOURNALS.map(([what, damage]) => ({ what: `a journal that is ${what}`, file: "s.journal", damage })),
];

describe.each(CASES)("$what", ({ what, file, damage }) => {
  async function damaged() {
    const root = quick_directory();
    const writer = await with_journal(root);
    if (file === "s.json") {
      await writer.flush();
    }
    await writer.save("other", [message("fine")]);
    const path = join(root, file);
    const bytes = Buffer.from(damage(fs.readFileSync(path)));
    fs.writeFileSync(path, bytes);
    return { root, path, bytes, writer, store: new FileSessionStore(root) };
  }

  test("rule 36: it is corrupt for every operation but save and delete, and none touches it", async () => {
    const { root, path, bytes, writer } = await damaged();
    const before = tree(root);
    for (const store of [writer, new FileSessionStore(root)]) {
      const error: unknown = await store.load("s").catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SessionError);
      expect(error).toMatchObject({ code: "corrupt", session_id: "s", path });
      expect(await outcome_of(store.replace("s", [], { revision: null }))).toMatch(/corrupt|conflict/);
      expect(await outcome_of(store.replace("s", [], { revision: "x" }))).toMatch(/corrupt|conflict/);
      expect(await outcome_of(store.append("s", [message("x")], { revision: "x" }))).toMatch(/corrupt|conflict/);
    }
    expect(fs.readFileSync(path).equals(bytes)).toBe(true);
    expect(tree(root)).toEqual(before);
  });

  test("rule 36: save moves it aside, byte by byte, and what it writes is whole", async () => {
    for (const by_writer of [true, false]) {
      const { root, bytes, writer, store } = await damaged();
      await (by_writer ? writer : store).save("s", [message("saved")], { model: "M" });
      expect(aside(root, file).map((kept) => kept.equals(bytes))).toEqual([true]);
      expect(await texts_in(root)).toEqual(["saved"]);
      await append(store, ["more"]);
      await store.flush();
      expect(await texts_in(root)).toEqual(["saved", "more"]);
      expect(tree(root).filter((name) => !name.includes(".corrupt-"))).toEqual(["other.json", "s.json"]);
      expect((await store.list()).map(({ id, damaged: why }) => `${id} ${why}`).sort()).toEqual([
        "other undefined",
        "s undefined",
      ]);
    }
  });

  test("rule 36: delete removes it, unless it never was a session", async () => {
    const { root, store } = await damaged();
    const is_session = !NO_SESSIONS.some((kind) => what === `a snapshot that is ${kind}`);
    expect(await store.delete("s")).toBe(is_session);
    expect(await content(root)).toBe(is_session ? '"gone"' : "corrupt");
    expect(tree(root)).toEqual(is_session ? ["other.json"] : ["other.json", "s.json"]);
  });
});

test.each(["s.json", "s.journal"])(
  "rule 36: no link to a damaged fork (%s) is left when it is deleted or replaced",
  async (file) => {
    for (const remove of [
      (store: FileSessionStore) => store.delete("s"),
      (store: FileSessionStore) => store.save("s", [message("one")]),
    ]) {
      const root = quick_directory();
      const store = await with_journal(root, { parent_id: "p" });
      const path = join(root, file);
      fs.writeFileSync(path, fs.readFileSync(path, "utf8").replace(/[{]/, "x"));
      await remove(store);
      expect(tree(root).filter((name) => name.includes("-forks"))).toEqual([]);
    }
  },
);

test("rule 36: flush of all brings every other session up to date", async () => {
  class SortedLayer extends HookedLayer {
    override async names(directory: string): Promise<string[]> {
      return (await super.names(directory)).sort();
    }
  }
  const root = quick_directory();
  await with_journal(root);
  const store = new FileSessionStore(root, {}, new SortedLayer());
  for (const id of ["before", "zz"]) {
    await store.save(id, [message("one")]);
    await append(store, ["two"], id);
  }
  const path = join(root, "s.journal");
  fs.writeFileSync(path, fs.readFileSync(path, "utf8").replace("two", "TWO"));
  expect(await outcome_of(store.flush())).toBe("corrupt");
  expect(tree(root)).toEqual(["before.json", "s.journal", "s.json", "zz.json"]);
});

test.each(SNAPSHOTS.filter(([what]) => NO_SESSIONS.includes(what)))(
  "rule 36.1: a file that is %s is no session: not listed, not loaded by itself, named by verify(), kept aside by a save",
  async (_, damage) => {
    const root = quick_directory();
    const store = new FileSessionStore(root);
    await store.save("other", [message("fine")]);
    const text = damage(Buffer.from("{}"));
    fs.writeFileSync(join(root, "s.json"), text);
    fs.utimesSync(join(root, "s.json"), 1e9, 1e9);
    for (const one of [store, store, new FileSessionStore(root)]) {
      expect((await one.list()).map(({ id }) => id)).toEqual(["other"]);
    }
    expect(await store.verify()).toMatchObject([{ code: "not_a_session", session_id: "s" }]);
    expect(await outcome_of(store.load("s"))).toBe("corrupt");
    const manager = new SessionManager(store, new PlainConversation());
    const errors: unknown[] = [];
    manager.on("lifecycle_error", (event) => errors.push(event));
    await manager.load();
    expect([manager.current_session_id, errors]).toEqual(["other", []]);
    await store.save("s", [message("one")]);
    expect((await store.list()).map(({ id }) => id).sort()).toEqual(["other", "s"]);
    const [aside = ""] = tree(root).filter((name) => name.includes(".corrupt-"));
    expect(fs.readFileSync(join(root, aside))).toEqual(Buffer.from(text));
  },
);

test("rule 36.1: a file that is no session is damage where a journal says that it was one", async () => {
  const root = quick_directory();
  const store = await with_journal(root);
  fs.writeFileSync(join(root, "s.json"), "{}");
  expect(await store.list()).toMatchObject([{ id: "s", damaged: expect.any(String) as string }]);
});

const changed_inside = /^changed in a message|^zeros from/;

test.each(SNAPSHOTS.filter(([what]) => !changed_inside.test(what) && !NO_SESSIONS.includes(what)))(
  "rule 36: a snapshot that is %s is listed as damaged, and the rest is unharmed",
  async (_, damage) => {
    const root = quick_directory();
    const store = new FileSessionStore(root);
    await store.save("s", [message("one")], { label: "L" });
    await store.save("other", [message("fine")], { updated_at: "2001-01-01T00:00:00.000Z" });
    const path = join(root, "s.json");
    fs.writeFileSync(path, damage(fs.readFileSync(path)));
    fs.utimesSync(path, 1e9, 1e9);
    const date = new Date(1e12).toISOString();
    const all = await store.list();
    const entry = { id: "s", created_at: date, updated_at: date, message_count: 0 };
    expect(all).toEqual([
      { ...entry, damaged: expect.any(String) as string },
      expect.objectContaining({ id: "other" }),
    ]);
  },
);

test("rule 36: two damaged files that are moved aside in one millisecond are both kept", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const root = quick_directory();
  const store = new FileSessionStore(root);
  for (const bad of ["first", "second", "third"]) {
    await store.save("s", [message("one")]);
    fs.writeFileSync(join(root, "s.json"), bad);
  }
  await store.save("s", []);
  expect(aside(root, "s.json").map(String).sort()).toEqual(["first", "second", "third"]);
});
