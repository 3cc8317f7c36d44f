import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../../helpers.js";
import { append, publish, tree } from "../files.js";
import { DATA, expect_usable, FORMATS, HEAD, look, open, publish_lines, session } from "./files.js";

const ALL = ["one", "two", "three"];
const cut_at = (text: string) => (bytes: Buffer) => bytes.subarray(0, bytes.indexOf(text));
const changed = (from: string, to: string) => (bytes: Buffer) => bytes.toString("latin1").replace(from, to);
const in_bytes = (from: string, to: string) => (bytes: Buffer) => Buffer.from(changed(from, to)(bytes), "latin1");

/** The files of session `s` that repair must keep. */
function files_of(root: string): Map<string, Buffer> {
  const names = fs.readdirSync(root).filter((name) => /^s\.(json|meta\.json|ndjson|journal)$/.test(name));
  return new Map(names.map((name) => [join(root, name), fs.readFileSync(join(root, name))]));
}

function put_back(files: Map<string, Buffer>): void {
  files.forEach((bytes, path) => fs.writeFileSync(path, bytes));
}

/** A fold has put its snapshot in place; the journal, to which these were appended meanwhile, is still the old one. */
async function half_fold(root: string, store: FileSessionStore, texts: string[]): Promise<void> {
  const before = files_of(root);
  await store.flush();
  const folded = files_of(root);
  put_back(before);
  for (const text of texts) {
    await append(new FileSessionStore(root), [text]);
  }
  put_back(folded);
}

/** Damages the second message of the journal, and repeats its first line at the end. */
function with_second_header(bytes: Buffer): Buffer {
  const damaged = in_bytes('"three"', '"thr#e"')(bytes);
  return Buffer.concat([damaged, damaged.subarray(0, damaged.indexOf("\n") + 1)]);
}

async function repaired(root: string, expected: string[], format: (typeof FORMATS)[number]) {
  const before = files_of(root);
  const store = open(root, format);
  expect(await outcome_of(store.load("s"))).toBe("corrupt");
  const result = await store.repair("s");
  expect(result).toMatchObject({ repaired: true, messages: expected.length });
  const kept = new Map(result.set_aside.map((path) => [path.replace(/\.corrupt-[^/]*$/, ""), fs.readFileSync(path)]));
  expect(kept).toEqual(before);
  await expect_usable(root, expected, format);
  expect(await store.repair("s")).toEqual({ repaired: false, messages: expected.length + 1, set_aside: [] });
  expect(tree(root).filter((name) => name.endsWith(".journal") || name.endsWith(".lock"))).toEqual([]);
}

describe.each(FORMATS)("%s", (format) => {
  const [head, data] = [HEAD[format], DATA[format]];

  test.each([
    ["in the last message", cut_at("three"), ["one", "two"]],
    ["behind the second message", (b: Buffer) => b.subarray(0, b.indexOf('{"role"', b.indexOf("two"))), ["one", "two"]],
    ["in the first message", cut_at("one"), []],
    ["in the second message", cut_at('two"}'), ["one"]],
  ])("rule 42: a snapshot that is cut %s is repaired up to there", async (_, damage, expected) => {
    const { root, change } = await session(format);
    change(data, damage);
    await repaired(root, expected, format);
    expect((await loaded(open(root, format))).metadata.label).toBe("L");
  });

  test.each([
    ["in the text of a message", data, in_bytes('"two"', '"twO"'), ["one", "twO", "three"]],
    ["in the syntax of a message", data, in_bytes('"text":"two"', '"text";"two"'), ["one"]],
    ["that makes a message no UTF-8", data, in_bytes('"two"', '"tw\u00ff"'), ["one"]],
    ["in the metadata", head, in_bytes('"L"', '"M"'), ALL],
    ["in the syntax of the metadata", head, in_bytes('"label":', '"label";'), ALL],
    ["in the header", head, in_bytes('"generation"', '"genEration"'), ALL],
    ["at the very beginning", head, in_bytes("{", "["), ALL],
  ])("rule 42: a flipped byte %s costs no more than it must", async (_, file, damage, expected) => {
    const { root, change } = await session(format);
    change(file, damage);
    await repaired(root, expected, format);
  });

  test.each([
    ["the first record", '"two"', ["one"]],
    ["the syntax between records", '"revision"', ["one"]],
  ])("rule 42: a journal that is damaged in %s counts up to there", async (_, text, expected) => {
    const { root, change } = await session(format, false);
    change("s.journal", in_bytes(text, `#${text.slice(1)}`));
    await repaired(root, expected, format);
  });

  test("rule 42: a journal that is damaged in the middle counts up to there", async () => {
    const { root, store, change } = await session(format, false);
    await append(store, ["four"]);
    change("s.journal", in_bytes('"three"', '"thr#e"'));
    await repaired(root, ["one", "two"], format);
  });

  test("rule 42: a journal that is damaged in its first line counts: no message stands there", async () => {
    const { root, change } = await session(format, false);
    change("s.journal", in_bytes('"journal":1', '#journal":1'));
    await repaired(root, ALL, format);
  });

  test("rule 42: a journal that is damaged where the snapshot has it already counts from there on", async () => {
    const { root, store, change } = await session(format, false);
    await half_fold(root, store, ["four"]);
    change("s.journal", in_bytes('"two"', '"tw#"'));
    await repaired(root, [...ALL, "four"], format);
  });

  test("rule 42: where the last folded records change metadata alone, what is behind a damaged one counts", async () => {
    const { root, store, change } = await session(format, false);
    await store.update("s", { label: "A" });
    await store.update("s", { label: "B" });
    await half_fold(root, store, ["four"]);
    change("s.journal", (bytes) => {
      bytes.write("#", bytes.lastIndexOf('"label":"B"', bytes.indexOf('"four"')) + 9);
      return bytes;
    });
    await repaired(root, [...ALL, "four"], format);
    expect((await loaded(open(root, format))).metadata.label).toBe("B");
  });

  test.each([
    ["the last record", ["four"]],
    ["the last record behind a whole one", ["four", "five"]],
  ])("rule 32: where a fold was cut off, %s that was damaged is kept aside", async (_, texts) => {
    const { root, store, change } = await session(format, false);
    await half_fold(root, store, texts);
    change("s.journal", in_bytes(`"${texts.at(-1)}"`, '"fiv#"'));
    await append(open(root, format), ["next"]);
    expect(tree(root).filter((name) => name.startsWith("s.journal.corrupt-"))).toHaveLength(1);
  });

  test("rule 42: messages that were replaced do not come back from a journal that was left behind", async () => {
    const { root, store, path, change } = await session(format, false);
    const journal = fs.readFileSync(path("s.journal"));
    await store.save("s", [message("X"), message("Y")], { label: "L" });
    fs.writeFileSync(path("s.journal"), journal);
    change(head, in_bytes('"L"', '"M"'));
    await repaired(root, ["X", "Y"], format);
  });

  test("rule 42: a record of another journal behind the damage takes no place", async () => {
    const { root, path, change } = await session(format, false);
    const before = files_of(root);
    await append(open(root, format), ["four"]);
    const ours = files_of(root);
    put_back(before);
    await append(open(root, format), ["twin"]);
    const twin = fs.readFileSync(path("s.journal")).subarray(before.get(path("s.journal"))?.length);
    put_back(ours);
    change("s.journal", (bytes) => Buffer.concat([bytes, Buffer.from("junk\n"), twin]));
    await repaired(root, [...ALL, "four"], format);
  });

  test.each([
    ["without its header", in_bytes('"journal":1', '#journal":1'), ALL],
    ["with a header behind the damage", with_second_header, ["one", "two"]],
  ])(
    "rule 42: a repair that is cut off before it removes a journal %s need not be repeated",
    async (_, damage, expected) => {
      const { root, path, change } = await session(format, false);
      change("s.journal", damage);
      const journal = fs.readFileSync(path("s.journal"));
      await open(root, format).repair("s");
      fs.writeFileSync(path("s.journal"), journal);
      expect(texts_of((await loaded(open(root, format))).messages)).toEqual(expected);
      await append(open(root, format), ["next"]);
      expect(texts_of((await loaded(open(root, format))).messages)).toEqual([...expected, "next"]);
      expect(await open(root, format).list()).toHaveLength(1);
    },
  );

  test("rule 36: a journal of which the snapshot holds all is none to miss, whatever of it is damaged", async () => {
    const { root, store, path, change } = await session(format, false);
    const journal = fs.readFileSync(path("s.journal"));
    await store.flush();
    fs.writeFileSync(path("s.journal"), journal);
    change("s.journal", in_bytes('"journal":1', '#journal":1'));
    expect(texts_of((await loaded(open(root, format))).messages)).toEqual(ALL);
  });

  test("rule 36: no text of a message makes a torn tail more than that", async () => {
    const { root, path } = await session(format, false);
    const { revision } = await loaded(open(root, format));
    const rest = '1"}]},'; // from the mark in the text to the end of its line
    const text = `#${createHash("sha256").update(rest).digest("hex").slice(0, 16)} 0 1`;
    const hostile = { role: "user" as const, content: [{ type: "text" as const, text }] };
    await open(root, format).append("s", [hostile, message("x".repeat(100))], { revision });
    fs.truncateSync(path("s.journal"), fs.statSync(path("s.journal")).size - 200);
    expect(texts_of((await loaded(open(root, format))).messages)).toEqual(ALL);
    await append(open(root, format), ["next"]);
    expect(texts_of((await loaded(open(root, format))).messages)).toEqual([...ALL, "next"]);
  });

  test("rule 42: a whole journal behind damaged metadata counts", async () => {
    const { root, change } = await session(format, false);
    change(head, in_bytes('"L"', '"M"'));
    await repaired(root, ALL, format);
  });

  test("rule 42: a journal behind a message that can be read, but was changed, counts", async () => {
    const { root, change } = await session(format, false);
    change(data, in_bytes('"one"', '"onE"'));
    await repaired(root, ["onE", "two", "three"], format);
  });

  test("rule 42: a journal that a cut snapshot already held makes up for what was cut", async () => {
    const { root, store, path, change } = await session(format, false);
    const journal = fs.readFileSync(path("s.journal"));
    await store.flush();
    fs.writeFileSync(path("s.journal"), journal);
    change(data, (bytes) => bytes.subarray(0, bytes.indexOf("two")));
    await repaired(root, ALL, format);
  });

  test.each([
    ["empty", () => ""],
    ["binary", () => Buffer.from(Array.from({ length: 5000 }, (_, n) => (n * 7919) % 256))],
    ["zeros", (bytes: Buffer) => Buffer.alloc(bytes.length)],
  ])("rule 42: hopeless files (%s) become a session without messages", async (_, damage) => {
    const { root, change } = await session(format);
    change(head, damage);
    change(data, damage);
    await repaired(root, [], format);
  });

  test("rule 42: a healthy session is not touched, and a missing one not found", async () => {
    const { root, store } = await session(format, false, { parent_id: "p" });
    const before = look(root);
    expect(await open(root, format).repair("s")).toEqual({ repaired: false, messages: 3, set_aside: [] });
    expect(look(root)).toEqual(before);
    expect(await outcome_of(store.repair("other"))).toBe("not_found");
    expect(await outcome_of(store.repair("../s"))).toBe("invalid_id");
    expect(look(root)).toEqual(before);
    expect(await outcome_of(open(join(root, "missing"), format).repair("s"))).toBe("not_found");
  });

  test("rule 42: messages inside the metadata are none of the session", async () => {
    const custom = { messages: [message("not a message of the session")] };
    const { root, change } = await session(format, true, { custom });
    change(data, cut_at("three"));
    await repaired(root, ["one", "two"], format);
    expect((await loaded(open(root, format))).metadata.custom).toEqual(custom);
  });

  test("rule 42: repair leaves no link to the damaged file of a fork", async () => {
    const { root, change } = await session(format, true, { parent_id: "p" });
    change(data, cut_at("three"));
    await repaired(root, ["one", "two"], format);
    expect(fs.statSync(join(root, "p-forks", data)).ino).toBe(fs.statSync(join(root, data)).ino);
  });

  test("rule 42: repair of a fork whose metadata are lost leaves no link to what was damaged", async () => {
    const { root, change } = await session(format, true, { parent_id: "p" });
    change(head, () => "");
    change(data, () => "?");
    expect(await open(root, format).repair("s")).toMatchObject({ repaired: true, messages: 0 });
    expect(tree(root).filter((name) => name.startsWith("p-forks/"))).toEqual([]);
  });
});

test("rule 42: an ndjson session without its messages is repaired to none", async () => {
  const { root, path } = await session("ndjson");
  fs.rmSync(path("s.ndjson"));
  await repaired(root, [], "ndjson");
  expect((await loaded(open(root, "json"))).metadata.label).toBe("L");
});

test("rule 42: an ndjson session of another writer is repaired up to its bad line", async () => {
  const root = quick_directory();
  const lines = ["one", "two", "three"].map((text) => JSON.stringify(message(text)));
  lines.splice(2, 0, '{"role":"user",');
  publish_lines(root, "s", { label: "L" }, `\n${lines.join("\n\n")}\n`);
  await repaired(root, ["one", "two"], "ndjson");
});

test.each([
  ["three", ["one", "two"]],
  ["two", ["one"]],
  ['"messages"', []],
  ['"custom"', []],
])("rule 42: a file of the published package that is cut at %s is repaired up to there", async (text, expected) => {
  const root = quick_directory();
  const messages = ["one", 't}{\\"wo', "three"].map((name) => message(name.startsWith("t}") ? "two" : name));
  publish(root, "s", { label: 'L {["', custom: { a: "}" } }, messages);
  const bytes = fs.readFileSync(join(root, "s.json"));
  fs.writeFileSync(join(root, "s.json"), cut_at(text)(bytes));
  await repaired(root, expected, "json");
  const { metadata } = await loaded(open(root, "json"));
  expect(metadata.label).toBe(text === '"custom"' ? undefined : 'L {["');
});

test("rule 42: repair() keeps the metadata of a JSON file whose keys another tool has sorted", async () => {
  const { root } = await session("json");
  const path = join(root, "s.json");
  const value = JSON.parse(fs.readFileSync(path, "utf8")) as Record<string, Record<string, unknown>>;
  const sorted = (one: Record<string, unknown>) => Object.fromEntries(Object.entries(one).sort());
  const { metadata = {}, messages, store } = value;
  const text = JSON.stringify({ messages, metadata: sorted({ ...metadata, label: "L" }), store }, null, 2);
  fs.writeFileSync(path, text);
  const files = open(root, "json");
  expect(await outcome_of(files.load("s"))).toBe("corrupt");
  await files.repair("s");
  expect((await loaded(files)).metadata).toMatchObject({ label: "L", message_count: messages?.["length"] });
});

test("rule 36: a JSON file without its last line feed is whole", async () => {
  const { root } = await session("json");
  const path = join(root, "s.json");
  const texts = texts_of((await loaded(open(root, "json"))).messages);
  fs.writeFileSync(path, fs.readFileSync(path).subarray(0, -1));
  const files = open(root, "json");
  expect(texts_of((await loaded(files)).messages)).toEqual(texts);
  expect(await files.verify()).toEqual([]);
  await append(files, ["on"]);
  await files.flush();
  expect(texts_of((await loaded(open(root, "json"))).messages)).toEqual([...texts, "on"]);
});
