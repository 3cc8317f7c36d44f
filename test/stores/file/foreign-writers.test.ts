import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type SessionMetadata } from "@simulacra-ai/session";
import { afterEach, describe, expect, test, vi } from "vitest";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../helpers.js";
import { FILES, FORMATS, type Format } from "./damaged/files.js";
import { append, texts_in, tree, with_journal } from "./files.js";
import { rewrite } from "./foreign-files.js";

afterEach(() => {
  vi.useRealTimers();
});

/** The journals that were moved aside, each as its content. */
function kept_aside(root: string): string[] {
  const names = fs.readdirSync(root).filter((name) => name.startsWith("s.journal.conflict-"));
  return names.map((name) => fs.readFileSync(join(root, name), "utf8"));
}

/** The files of the session itself. */
function own_files(root: string): string[] {
  return tree(root).filter((name) => name.startsWith("s.") && !name.includes(".conflict-"));
}

/** The session of this id as it is listed, and all others. */
async function listed(store: FileSessionStore): Promise<{ own: SessionMetadata[]; others: SessionMetadata[] }> {
  const all = await store.list();
  return { own: all.filter(({ id }) => id === "s"), others: all.filter(({ id }) => id !== "s") };
}

/** Everything that may be the first write after the rewrite. */
const WRITES: [string, (store: FileSessionStore) => Promise<unknown>, string[]][] = [
  ["append", (store) => append(store, ["new"]), ["new"]],
  ["update", (store) => store.update("s", { model: "M" }), []],
  ["flush", (store) => store.flush("s"), []],
  ["flush of all", (store) => store.flush(), []],
];

/** The store that looks first at what another program has written. */
const READERS: [string, (store: FileSessionStore, root: string, format: Format) => FileSessionStore][] = [
  ["the store that wrote the journal", (store) => store],
  ["a new store", (_, root, format) => new FileSessionStore(root, { format })],
];

describe.each(FORMATS.flatMap((format) => READERS.map(([who, seen_by]) => [format, who, seen_by] as const)))(
  "%s, seen by %s",
  (format, _, seen_by) => {
    /** `one` in the snapshot, `two` and `three` in the journal; then another program makes it `texts`. */
    async function rewritten(texts: string[], changes: object = {}) {
      const root = quick_directory();
      const writer = await with_journal(root, {}, {}, format);
      const { revision } = await loaded(writer);
      const journal = fs.readFileSync(join(root, "s.journal"), "utf8");
      rewrite(format, root, texts, changes);
      return { root, store: seen_by(writer, root, format), revision, journal };
    }

    test.each(WRITES)(
      "rule 40: changed metadata stay, and so does what the journal adds; then %s",
      async (_, write, added) => {
        const { root, store, revision } = await rewritten(["one"], { label: "theirs", unheard_of: 1 });
        const session = await loaded(store);
        expect(texts_of(session.messages)).toEqual(["one", "two", "three"]);
        expect(session.metadata).toMatchObject({ label: "theirs", unheard_of: 1, message_count: 3 });
        expect(session.revision).toBe(revision);
        expect(await store.list()).toEqual([session.metadata]);
        await store.append("s", [], { revision });
        await write(store);
        expect(await texts_in(root)).toEqual(["one", "two", "three", ...added]);
        expect((await loaded(store)).metadata).toMatchObject({ label: "theirs", unheard_of: 1 });
        await store.flush();
        expect(await texts_in(root)).toEqual(["one", "two", "three", ...added]);
        expect(tree(root)).toEqual(FILES[format]);
      },
    );

    test.each([
      ["as far as the journal goes", ["one", "two", "three"]],
      ["a part of the journal", ["one", "two"]],
      ["and goes on behind it", ["one", "two", "three", "four"]],
    ])("rule 40: a rewrite that holds the journal's messages, %s, continues it", async (_, texts) => {
      const { root, store, revision } = await rewritten(texts);
      const expected = texts.length > 3 ? texts : ["one", "two", "three"];
      expect(await texts_in(root)).toEqual(expected);
      expect((await store.list())[0]?.message_count).toBe(expected.length);
      const outcome = await outcome_of(store.append("s", [message("x")], { revision }));
      expect(outcome).toBe(texts.length > 3 ? "conflict" : "done");
      await append(store, ["new"]);
      await store.flush();
      expect(await texts_in(root)).toEqual([...expected, ...(outcome === "done" ? ["x"] : []), "new"]);
      expect(tree(root)).toEqual(FILES[format]);
    });

    describe.each([
      ["appends its own", ["one", "other"]],
      ["diverges later", ["one", "two", "other"]],
      ["edits a message", ["ONE"]],
      ["edits, and holds the rest", ["ONE", "two", "three"]],
      ["removes everything", []],
    ])("a rewrite that %s", (_, texts) => {
      test.each(WRITES)("rule 40: it stays, and both histories are kept by %s", async (_, write, added) => {
        const { root, store, revision, journal } = await rewritten(texts);
        const session = await loaded(store);
        expect(texts_of(session.messages)).toEqual(texts);
        expect(session.revision).not.toBe(revision);
        expect(await store.list()).toEqual([session.metadata]);
        for (const operation of ["append", "replace"] as const) {
          expect(await outcome_of(store[operation]("s", [message("x")], { revision }))).toBe("conflict");
        }
        expect(await texts_in(root)).toEqual(texts);
        await write(store);
        expect(await texts_in(root)).toEqual([...texts, ...added]);
        expect(kept_aside(root)).toEqual([journal]);
        await append(store, ["later"]);
        await store.flush();
        expect(await texts_in(root)).toEqual([...texts, ...added, "later"]);
        expect(own_files(root)).toEqual(FILES[format]);
        expect(kept_aside(root)).toEqual([journal]);

        const { others } = await listed(store);
        expect(others).toHaveLength(1);
        expect(others[0]).toMatchObject({ kind: "fork", label: "L (recovered)", parent_id: "s", detached: true });
        const recovered = await texts_in(root, others[0]?.id);
        expect(recovered).toEqual([...(texts[0] === "one" ? ["one"] : []), "two", "three"]);
      });

      test("rule 40: a save over it keeps the journal aside too", async () => {
        const { root, store, journal } = await rewritten(texts);
        await store.save("s", [message("saved")]);
        expect(await texts_in(root)).toEqual(["saved"]);
        expect(kept_aside(root)).toEqual([journal]);
      });
    });

    test("rule 40: a session that was deleted is gone, whatever its journal holds, and another begins clean", async () => {
      for (const begin of [
        (store: FileSessionStore) => store.save("s", [message("new")]),
        (store: FileSessionStore) => store.replace("s", [message("new")], { revision: null }),
      ]) {
        const { root, store, revision } = await rewritten(["one"]);
        FILES[format].forEach((name) => fs.rmSync(join(root, name)));
        expect([await store.load("s"), await store.list()]).toEqual([undefined, []]);
        expect(await outcome_of(store.append("s", [message("x")], { revision }))).toBe("not_found");
        expect(await outcome_of(store.replace("s", [message("x")], { revision }))).toBe("not_found");
        expect(await store.update("s", { label: "x" })).toBe(false);
        await store.flush();
        await begin(store);
        expect(await texts_in(root)).toEqual(["new"]);
        expect((await loaded(store)).metadata).not.toHaveProperty("label");
        expect(tree(root)).toEqual(FILES[format]);
      }
    });

    test("rule 40: delete of a session of which only the journal is left cleans up", async () => {
      const { root, store } = await rewritten(["one"]);
      FILES[format].forEach((name) => fs.rmSync(join(root, name)));
      expect(await store.delete("s")).toBe(false);
      expect(tree(root)).toEqual([]);
    });

    test.each(WRITES)(
      "rule 40: an older snapshot of ours that is put back keeps the journal from %s",
      async (_, write, added) => {
        const root = quick_directory();
        const writer = await with_journal(root, {}, {}, format);
        await writer.flush();
        const backup = FILES[format].map((name) => [join(root, name), fs.readFileSync(join(root, name))] as const);
        await append(writer, ["four"]);
        await writer.flush();
        await append(writer, ["five"]);
        const journal = fs.readFileSync(join(root, "s.journal"), "utf8");
        backup.forEach(([path, bytes]) => fs.writeFileSync(path, bytes));
        const store = seen_by(writer, root, format);
        expect(await texts_in(root)).toEqual(["one", "two", "three"]);
        await write(store);
        expect(await texts_in(root)).toEqual(["one", "two", "three", ...added]);
        expect(kept_aside(root)).toEqual([journal]);
        const { others } = await listed(store);
        expect(others).toHaveLength(1);
        expect(await texts_in(root, others[0]?.id)).toContain("five");
      },
    );
  },
);

test("rule 40: two journals that are moved aside in one millisecond are both kept", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const root = quick_directory();
  const store = await with_journal(root);
  for (const text of ["x", "y"]) {
    rewrite("json", root, [text]);
    await store.flush("s");
    await append(store, [`behind ${text}`]);
  }
  rewrite("json", root, ["z"]);
  await store.flush("s");
  const together = kept_aside(root).join();
  expect(together).toContain("three");
  expect(together).toContain("behind x");
  expect(together).toContain("behind y");
});

test("rule 40: a fork's link leads to the file that was written over a foreign one", async () => {
  const root = quick_directory();
  const store = await with_journal(root, { parent_id: "p" });
  const path = join(root, "s.json");
  const text = fs.readFileSync(path, "utf8").replace(/^"store": .*\n/m, "");
  fs.rmSync(path);
  fs.writeFileSync(path, text);
  await append(store, ["new"]);
  await store.flush();
  expect(await texts_in(root)).toEqual(["one", "two", "three", "new"]);
  expect(fs.statSync(join(root, "p-forks", "s.json")).ino).toBe(fs.statSync(path).ino);
});
