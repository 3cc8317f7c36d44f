import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { open_plain } from "../../support/open-session.js";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../helpers.js";
import { append, require_conflicts, tree } from "./files.js";
import { folding_layer, ignoring_case, ignoring_forms } from "./folding-layer.js";
import { HookedLayer } from "./hooked-layer.js";

const NFC = "caf\u00e9";
const NFD = NFC.normalize("NFD");
const SYSTEMS = [
  { name: "that ignores case", fold: ignoring_case, first: "Work", second: "work" },
  {
    name: "that ignores the case of other letters",
    fold: ignoring_case,
    first: "\u00c9t\u00e9",
    second: "\u00e9t\u00e9",
  },
  { name: "that ignores normal forms", fold: ignoring_forms, first: NFC, second: NFD },
  { name: "that ignores normal forms, the other way", fold: ignoring_forms, first: NFD, second: NFC },
];

describe.each(["json", "ndjson"] as FileSessionFormat[])("%s", (format) => {
  describe.each(SYSTEMS)("on a file system $name", ({ fold, first, second }) => {
    const open = (root = quick_directory()) => {
      const layer = new HookedLayer(undefined, { inner: folding_layer(root, fold), syncs: false });
      return { root, layer, store: new FileSessionStore(root, { format }, layer) };
    };

    test("rule 37.2: an id that is alike conflicts with the session that is there, which stays as it is", async () => {
      const { root, store } = open();
      await store.save(first, [message("one")], { parent_id: "p" });
      await append(store, ["two"], first);
      const before = tree(root);
      for (const other of [store, open(root).store]) {
        await require_conflicts(other, second, first);
        expect(tree(root)).toEqual(before);
        expect(texts_of((await loaded(other, first)).messages)).toEqual(["one", "two"]);
        expect((await other.list()).map(({ id }) => id)).toEqual([first]);
      }
      await append(store, ["three"], first);
      expect(texts_of((await loaded(open(root).store, first)).messages)).toEqual(["one", "two", "three"]);
      expect(await store.delete(first)).toBe(true);
      await store.save(second, [message("second")]);
      expect(texts_of((await loaded(open(root).store, second)).messages)).toEqual(["second"]);
      await require_conflicts(open(root).store, first, second);
    });

    test("rule 37.2: a damaged session is not moved aside for one that is alike", async () => {
      const { root, store } = open();
      await store.save(first, [message("one")]);
      const [name = ""] = tree(root);
      fs.truncateSync(join(root, name), 20);
      const other = open(root).store;
      expect(await outcome_of(other.save(second, []))).toBe("conflict");
      expect(await outcome_of(other.repair(second))).toBe("conflict");
      expect(await other.delete(second)).toBe(false);
      expect(fs.statSync(join(root, name)).size).toBe(20);
    });

    test("rule 37.2: of two stores that begin sessions that are alike at once one fails", async () => {
      const { root, store } = open();
      const outcomes = await Promise.all([
        outcome_of(store.save(first, [message("first")])),
        outcome_of(open(root).store.save(second, [message("second")])),
      ]);
      expect(outcomes.sort()).toEqual(["conflict", "done"]);
      expect(await store.list()).toHaveLength(1);
    });

    test("rule 37.2: the lock of a dead writer is not taken over for an id that is alike", async () => {
      const { root, store } = open();
      await store.save(first, [message("one")]);
      const dead = "4194999-0.1.aaaa.bbbb.cccc.0123456789ab";
      fs.symlinkSync(dead, join(root, `${first}.lock`));
      expect(await outcome_of(open(root).store.save(second, []))).toBe("conflict");
      expect(fs.readlinkSync(join(root, `${first}.lock`))).toBe(dead);
    });

    test("rule 37.2: forks of parents whose ids are alike have one folder, which is in order", async () => {
      const { root, store } = open();
      await store.save("f", [message("one")], { parent_id: first });
      await store.save("g", [message("one")], { parent_id: second });
      expect(await store.verify()).toEqual([]);
      fs.writeFileSync(join(root, `g.${format === "json" ? "json" : "meta.json"}`), "damaged");
      await store.save("g", [message("two")], { parent_id: second }); // which looks for old links in all folders
      expect((await store.verify()).map(({ code }) => code)).toEqual([
        "set_aside",
        ...(format === "json" ? [] : ["set_aside"]),
      ]);
      await store.update("f", { parent_id: second });
      await store.flush();
      expect((await store.verify()).filter(({ code }) => code !== "set_aside")).toEqual([]);
      expect(await store.delete("f")).toBe(true);
      expect(await store.delete("g")).toBe(true);
      expect(tree(root).filter((name) => !name.includes("corrupt"))).toEqual([]);
    });

    test("rule 9: a manager reports the conflict, and makes no fork", async () => {
      const { root, store } = open();
      await store.save(second, [message("one")]);
      const { manager, conversation, errors } = open_plain(store);
      await manager.load(second);
      expect(await outcome_of(manager.load(first))).toBe("conflict");
      const other = open(root).store;
      await other.delete(second);
      await other.save(first, [message("another")]);
      conversation.turn("two");
      expect(await outcome_of(manager.flush())).toBe("conflict");
      expect(errors.at(-1)).toMatchObject({ operation: "save", error: { code: "conflict" } });
      expect((await other.list()).map(({ id }) => id)).toEqual([first]);
      expect(texts_of((await loaded(other, first)).messages)).toEqual(["another"]);
      expect(manager.current_session_id).toBe(second);
      await other.delete(first);
      await manager.flush();
      expect(await other.list()).toHaveLength(1);
    });

    test("rule 8.6: a parent that is only alike is gone, and one to be given is refused", async () => {
      const { store } = open();
      await store.save("f", [message("own")], { parent_id: second, fork_message_count: 1 });
      await store.save(first, [message("one")]);
      const { manager, conversation, errors } = open_plain(store);
      await manager.load("f");
      expect(texts_of(conversation.messages)).toEqual(["own"]);
      expect(errors[0]).toMatchObject({ operation: "load", error: { code: "lineage" } });
      expect(await outcome_of(manager.fork(second))).toBe("conflict");
      manager.start_new();
      conversation.turn("two");
      expect(await outcome_of(manager.save({ parent_id: second }))).toBe("conflict");
      conversation.turn("three");
      await manager.flush();
      expect(texts_of((await loaded(store, manager.current_session_id)).messages)).toHaveLength(4);
    });
  });
});

test("rule 37.2: where files get another normal form than they are given, no id has two files", async () => {
  const root = quick_directory();
  const layer = folding_layer(root, ignoring_forms, (name) => name.normalize("NFD"));
  const store = new FileSessionStore(root, {}, layer);
  expect(await outcome_of(store.save(NFC, [message("one")]))).toBe("conflict");
  expect(tree(root)).toEqual([]);
  await store.save(NFD, [message("one")]);
  await require_conflicts(store, NFC, NFD);
  expect((await store.list()).map(({ id }) => id)).toEqual([NFD]);
});

test("rule 37.2: where names are told apart that costs two looks a store, and one at an id with two forms", async () => {
  const root = quick_directory();
  const first = new FileSessionStore(root);
  const ids = ["a", "B", "\u65e5\u672c", NFC];
  for (const id of ids) {
    await first.save(id, [message("one")]);
  }
  const layer = new HookedLayer(undefined, { syncs: false });
  const store = new FileSessionStore(root, {}, layer);
  const looks_of = async (task: () => Promise<unknown>) => {
    layer.forget();
    await task();
    return layer.operations.filter(({ name }) => name === "stat" || name === "names").length;
  };
  const save = (id: string) => looks_of(() => store.save(id, [message("two")]));
  await save("a");
  const usual = await save("B");
  expect(layer.names_of_operations()).not.toContain("names");
  expect(await save("\u65e5\u672c")).toBe(usual);
  const load = (id: string) => looks_of(() => store.load(id));
  expect(await load("B")).toBe(await load("a"));
  expect((await load(NFC)) - (await load("a"))).toBe(1);
  const reader = new FileSessionStore(root, {}, layer);
  const begun = await looks_of(() => reader.load("a"));
  expect(begun - (await looks_of(() => reader.load("a")))).toBe(2);
});

test("rule 37.2: where case is ignored, the directory is read once for many sessions", async () => {
  const root = quick_directory();
  const writer = new FileSessionStore(root);
  for (let n = 0; n < 50; n += 1) {
    await writer.save(`s${n}`, [message("one")]);
    fs.utimesSync(join(root, `s${n}.json`), 1_700_000_000, 1_700_000_000);
  }
  const layer = new HookedLayer(undefined, { inner: folding_layer(root, ignoring_case), syncs: false });
  const store = new FileSessionStore(root, {}, layer);
  for (let n = 0; n < 50; n += 1) {
    await store.load(`s${n}`);
  }
  expect(layer.operations.filter(({ name }) => name === "names")).toHaveLength(1);
  await store.save("s0", [message("two")]);
  layer.forget();
  await append(store, ["three"], "s0");
  await append(store, ["four"], "s0");
  expect(layer.names_of_operations()).not.toContain("names");
});
