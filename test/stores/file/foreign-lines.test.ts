import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../helpers.js";
import { DATA, FILES, FORMATS, HEAD, open, session, type Format } from "./damaged/files.js";
import { append, texts_in, tree, with_journal } from "./files.js";
import { read_published, rewrite, write_lines, write_metadata } from "./foreign-files.js";
import { HookedLayer } from "./hooked-layer.js";

const messages = (...texts: string[]) => texts.map((text) => message(text));

/** The session as it is listed, read and written on: the same each time. */
async function expect_session(root: string, texts: string[], format: Format = "ndjson"): Promise<void> {
  const store = open(root, format);
  const { messages, metadata } = await loaded(store);
  expect(texts_of(messages)).toEqual(texts);
  expect(metadata.message_count).toBe(texts.length);
  await append(store, ["new"]);
  expect(await texts_in(root)).toEqual([...texts, "new"]);
  await store.flush();
  expect(await texts_in(root)).toEqual([...texts, "new"]);
  expect(tree(root).filter((name) => name.startsWith("s.") && !/\.(conflict|corrupt)-/.test(name))).toEqual(
    FILES[format],
  );
  const codes = (await store.verify()).map(({ code }) => code);
  expect(codes.filter((code) => code !== "set_aside")).toEqual([]);
}

/** Returns the texts of the sessions that were made of replaced histories. */
async function recovered(root: string): Promise<string[][]> {
  const store = new FileSessionStore(root);
  const others = (await store.list()).filter(({ id }) => id !== "s");
  expect(others.every(({ kind, label }) => kind === "fork" && label?.endsWith(" (recovered)"))).toBe(true);
  return Promise.all(others.map(({ id }) => texts_in(root, id)));
}

describe.each([
  ["beside a journal", ["one"], ["two", "three"]],
  ["at rest", ["one", "two", "three"], []],
])("another program that dies between its two files, %s", (_, snapshot, journal) => {
  async function stored() {
    const root = quick_directory();
    const store = await with_journal(root, {}, {}, "ndjson");
    await (journal.length === 0 && store.flush());
    expect(texts_of(read_published("ndjson", root).messages)).toEqual(snapshot);
    return root;
  }

  test("rule 40.3: lines that were appended are the session's, whatever the metadata say", async () => {
    const root = await stored();
    write_lines(root, messages(...snapshot, "theirs"), messages(...snapshot));
    expect((await new FileSessionStore(root).list())[0]?.message_count).toBe(snapshot.length + 1);
    await expect_session(root, [...snapshot, "theirs"]);
    expect(await recovered(root)).toEqual(journal.length === 0 ? [] : [[...snapshot, ...journal]]);
  });

  test("rule 40.3: metadata are the session's, whether or not their lines are there", async () => {
    const root = await stored();
    const { metadata } = read_published("ndjson", root);
    write_metadata(root, { ...metadata, label: "theirs", message_count: snapshot.length + 1 });
    expect((await loaded(new FileSessionStore(root))).metadata.label).toBe("theirs");
    await expect_session(root, [...snapshot, ...journal]);
    expect((await loaded(new FileSessionStore(root))).metadata.label).toBe("theirs");
    expect(await recovered(root)).toEqual([]);
  });

  test("rule 40.3: a longer history in place of the lines is the session", async () => {
    const root = await stored();
    const theirs = ["ONE", "TWO", "THREE", "FOUR"];
    write_lines(root, messages(...theirs), messages(...snapshot));
    await expect_session(root, theirs);
    expect(await recovered(root)).toEqual(journal.length === 0 ? [] : [journal]);
  });

  test.each([
    ["as long", snapshot.map((text) => text.toUpperCase())],
    ["shorter", []],
  ])(
    "rule 40.3: one that is %s is damage until its metadata are written, and is then the session",
    async (_, theirs) => {
      const root = await stored();
      const { metadata } = read_published("ndjson", root);
      write_lines(root, messages(...theirs), messages("else"));
      expect(await outcome_of(new FileSessionStore(root).load("s"))).toBe("corrupt");
      write_metadata(root, { ...metadata, message_count: theirs.length });
      await expect_session(root, theirs);
      expect(await recovered(root)).toEqual(journal.length === 0 ? [] : [journal]);
    },
  );

  test("rule 40.3: a line that is torn is damage while it is, and repair returns what is readable", async () => {
    const root = await stored();
    const line = JSON.stringify(message("theirs"));
    fs.appendFileSync(join(root, DATA.ndjson), line.slice(0, 20));
    const torn = fs.readFileSync(join(root, DATA.ndjson));
    expect(await outcome_of(new FileSessionStore(root).load("s"))).toBe("corrupt");
    fs.appendFileSync(join(root, DATA.ndjson), `${line.slice(20)}\n`);
    expect(await texts_in(root)).toEqual([...snapshot, "theirs"]);
    fs.writeFileSync(join(root, DATA.ndjson), torn);
    await new FileSessionStore(root).repair("s");
    await expect_session(root, [...snapshot, ...journal]);
  });
});

/** How other programs lay the metadata out that they have read. */
const LAYOUTS: [string, (value: object) => string][] = [
  ["as it is published", (value) => JSON.stringify(value, null, 2)],
  ["with tabs", (value) => `${JSON.stringify(value, null, "\t")}\n`],
  ["in Windows lines", (value) => JSON.stringify(value, null, 2).replaceAll("\n", "\r\n")],
  ["in one line", (value) => JSON.stringify(value)],
  ["with a byte order mark", (value) => `\ufeff${JSON.stringify(value, null, 2)}`],
];

test.each(LAYOUTS)(
  "rule 40.1: changed metadata, laid out %s with our store in them, are read as they are",
  async (_, print) => {
    const { root } = await session("ndjson", false);
    const { metadata } = read_published("ndjson", root);
    expect(metadata).toHaveProperty("store");
    fs.writeFileSync(join(root, HEAD.ndjson), print({ ...metadata, label: "theirs" }));
    const found = await loaded(new FileSessionStore(root));
    expect([found.metadata.label, Object.keys(found.metadata).includes("store")]).toEqual(["theirs", false]);
    await expect_session(root, ["one", "two", "three"]);
  },
);

test("rule 36: a byte that is flipped in either file is damage, or changes nothing", async () => {
  const { root, path } = await session("ndjson");
  const original = JSON.stringify((await loaded(new FileSessionStore(root))).messages);
  const [head, data] = [fs.readFileSync(path(HEAD.ndjson)), fs.readFileSync(path(DATA.ndjson))];
  const flipped = [head, data].flatMap((bytes, file) =>
    [0x01, 0x02, 0x20, 0x80].flatMap((mask) =>
      [...bytes.keys()].map((at) => {
        const copy = Buffer.from(bytes);
        copy[at] = (copy[at] ?? 0) ^ mask;
        return file === 0 ? [copy, data] : [head, copy];
      }),
    ),
  );
  const elsewhere = quick_directory();
  const store = new FileSessionStore(elsewhere);
  const found = await Promise.all(
    flipped.map(async ([head = "", data = ""], n) => {
      fs.writeFileSync(join(elsewhere, `f${n}.meta.json`), head);
      fs.writeFileSync(join(elsewhere, `f${n}.ndjson`), data);
      let text = "";
      const outcome = await outcome_of(store.load(`f${n}`).then((found) => (text = JSON.stringify(found?.messages))));
      return outcome === "done" ? text : outcome;
    }),
  );
  expect(new Set(found)).toEqual(new Set(["corrupt", original]));
});

describe.each(FORMATS)("%s", (format) => {
  const windows = (bytes: Buffer) => bytes.toString().replaceAll("\n", "\r\n");
  const marked = (bytes: Buffer) => `\ufeff${bytes.toString()}`;

  test.each([
    ["Windows lines", windows, [HEAD[format], DATA[format]]],
    ["Windows lines in the first file", windows, [HEAD[format]]],
    ["Windows lines in the last file", windows, [DATA[format]]],
    ["byte order marks", marked, [HEAD[format], DATA[format]]],
    ["a byte order mark in the first file", marked, [HEAD[format]]],
    ["a byte order mark in the last file", marked, [DATA[format]]],
  ])("rule 40.1: files of ours that got %s are read, and written anew", async (_, convert, names) => {
    for (const at_rest of [true, false]) {
      const { root, change } = await session(format, at_rest);
      [...new Set(names)].forEach((name) => change(name, convert));
      expect((await new FileSessionStore(root).list())[0]).toMatchObject({ message_count: 3, label: "L" });
      await expect_session(root, ["one", "two", "three"], format);
      const bytes = FILES[format].map((name) => fs.readFileSync(join(root, name), "utf8")).join("");
      expect(bytes).not.toMatch(/[\r\ufeff]/);
      expect(await recovered(root)).toEqual([]);
    }
  });

  test("rule 40.2: a program that keeps a session in memory and ours take turns, and no turn of either is lost", async () => {
    const { root, store } = await session(format);
    for (let n = 0; n < 5; n += 1) {
      const known = texts_of(read_published(format, root).messages);
      await append(store, [`ours ${n}`]);
      rewrite(format, root, [...known, `theirs ${n}`]);
      await store.flush();
    }
    const all = [await texts_in(root), ...(await recovered(root))].flat();
    for (let n = 0; n < 5; n += 1) {
      expect(all).toEqual(expect.arrayContaining([`ours ${n}`, `theirs ${n}`]));
    }
    expect(await texts_in(root)).toEqual(["one", "two", "three", ...[0, 1, 2, 3, 4].map((n) => `theirs ${n}`)]);
  });
});

test("rule 40.3: a rewrite in place that a reader sees half done is waited for", async () => {
  const { root, path } = await session("ndjson");
  rewrite("ndjson", root, ["ONE", "TWO"]);
  const whole = fs.readFileSync(path(DATA.ndjson));
  fs.writeFileSync(path(DATA.ndjson), "");
  const layer = new HookedLayer(undefined, { syncs: false });
  let opened = 0;
  layer.hook = ({ name, path: opened_path }) => {
    opened += name === "open" && opened_path === path(HEAD.ndjson) ? 1 : 0;
    if (opened === 1) {
      fs.writeFileSync(path(DATA.ndjson), whole);
    }
  };
  const found = await loaded(new FileSessionStore(root, {}, layer));
  expect(texts_of(found.messages)).toEqual(["ONE", "TWO"]);
});

describe("a write of theirs before messages of ours get their place", () => {
  /** Folds `one`, `two` and `three`; they write between the rename that counts and the last look at the files. */
  async function fold_with(write: (root: string) => void): Promise<string> {
    const root = quick_directory();
    await with_journal(root, {}, {}, "ndjson");
    const layer = new HookedLayer(undefined, { syncs: false });
    let is_decided = false;
    layer.hook = ({ name, path }) => {
      if (is_decided) {
        is_decided = false;
        write(root);
      }
      is_decided = name === "rename" && path.endsWith(HEAD.ndjson);
    };
    await new FileSessionStore(root, {}, layer).flush("s");
    return root;
  }

  test("rule 40.4: a history of theirs is the session, and ours is kept", async () => {
    const root = await fold_with((root) => rewrite("ndjson", root, ["ONE"]));
    await expect_session(root, ["ONE"]);
    expect(await recovered(root)).toEqual([["two", "three"]]);
  });

  test("rule 40.4: lines of theirs whose metadata are not written yet are kept under another name", async () => {
    const root = await fold_with((root) => write_lines(root, messages("one", "theirs"), messages("one")));
    const [aside = ""] = tree(root).filter((name) => name.includes(".ndjson.conflict-"));
    expect(fs.readFileSync(join(root, aside), "utf8")).toContain("theirs");
    await expect_session(root, ["one", "two", "three"]);
  });
});

test("rule 40.4: messages that a killed fold has left do not replace lines that were appended since", async () => {
  const { root, path } = await session("ndjson");
  fs.copyFileSync(path(DATA.ndjson), path("s.ndjson.next"));
  fs.utimesSync(path("s.ndjson.next"), 1, 1);
  write_lines(root, messages("one", "two", "three", "theirs"), messages("one", "two", "three"));
  await expect_session(root, ["one", "two", "three", "theirs"]);
});
