import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type SessionError } from "@simulacra-ai/session";
import { expect, test, vi } from "vitest";
import { loaded, message, outcome_of, quick_directory } from "../helpers.js";
import { append, texts_in, tree, with_journal } from "./files.js";
import { FOREIGN_FILE_LAYER, foreign_error } from "./foreign-realm.js";
import { HookedLayer, system_error } from "./hooked-layer.js";

function fail_if(is_now: boolean, code: string): void {
  if (is_now) {
    throw system_error(code);
  }
}

test("rule 41: short writes and reads are gone on with", async () => {
  const root = quick_directory();
  const layer = new HookedLayer(({ name }) => (name === "file.write" ? 3 : undefined));
  const store = new FileSessionStore(root, { durable: false }, layer);
  await store.save("s", [message("one")], { label: "L" });
  await append(store, ["two"]);
  await append(store, ["three"]);
  expect(await texts_in(root)).toEqual(["one", "two", "three"]);
  await store.flush();
  expect(await texts_in(root)).toEqual(["one", "two", "three"]);
  layer.hook = ({ name }) => (name === "file.write" ? 0 : undefined);
  expect(await outcome_of(append(store, ["four"]))).toBe("storage");
  expect(await outcome_of(store.save("s", []))).toBe("storage");
  expect(await texts_in(root)).toEqual(["one", "two", "three"]);
});

test("rule 41: a reader that cannot read says so, and never that there is nothing", async () => {
  const root = quick_directory();
  await with_journal(root);
  for (let n = 1, count = 1; n <= count; n += 1) {
    const layer = new HookedLayer((operation) => fail_if(operation.n === n, n % 2 === 0 ? "EIO" : "EMFILE"));
    const store = new FileSessionStore(root, {}, layer);
    expect(await outcome_of(store.load("s")), `${n}`).toBe(n <= layer.operations.length ? "storage" : "done");
    expect(layer.opened).toBe(layer.closed);
    layer.hook = () => undefined;
    expect((await loaded(store)).messages).toHaveLength(3);
    count = Math.max(count, layer.operations.length / 2);
  }
});

test("rule 41: a list that cannot read says so, as a whole or of the session, and closes every file", async () => {
  const root = quick_directory();
  const writer = await with_journal(root);
  await writer.save("other", []);
  const layer = new HookedLayer();
  const store = new FileSessionStore(root, {}, layer);
  const all = await store.list();
  for (let n = 1, count = layer.operations.length; n <= count; n += 1) {
    layer.forget();
    layer.hook = (operation) => fail_if(operation.n === n, "EIO");
    let found: typeof all = [];
    const outcome = await outcome_of(store.list().then((result) => (found = result)));
    if (outcome === "done") {
      expect(found).toHaveLength(2);
      expect(found.filter(({ damaged }) => damaged?.includes("EIO"))).toHaveLength(1);
    } else {
      expect(outcome).toBe("storage");
    }
    expect(layer.opened).toBe(layer.closed);
  }
  layer.hook = () => undefined;
  expect(await store.list()).toEqual(all);
});

test("rule 41: a compaction in the background that fails loses nothing, and is made up for by a flush", async () => {
  const root = quick_directory();
  const layer = new HookedLayer();
  const store = new FileSessionStore(root, { durable: false }, layer);
  const [first = "", ...texts_after] = Array.from({ length: 30 }, (_, n) => `${n} `.padEnd(10_000, "x"));
  const texts = [first, ...texts_after];
  await store.save("s", []);
  await append(store, [first]);
  layer.hook = ({ name, path }) => fail_if(name === "create" && path.endsWith(".tmp"), "ENOSPC");
  for (const text of texts_after) {
    await append(store, [text]);
  }
  expect(layer.operations.some(({ path }) => path.endsWith(".tmp"))).toBe(true);
  expect(await texts_in(root)).toEqual(texts);
  expect(await outcome_of(store.flush())).toBe("storage");
  layer.hook = () => undefined;
  await store.flush();
  expect(tree(root)).toEqual(["s.json"]);
  expect(await texts_in(root)).toEqual(texts);
});

test("rule 41: a store whose first call failed, or whose directory was removed, works again", async () => {
  const above = quick_directory();
  const root = join(above, "a", "b");
  const layer = new HookedLayer(({ name }) => fail_if(name === "make_directory", "EROFS"));
  const store = new FileSessionStore(root, {}, layer);
  expect(await outcome_of(store.save("s", []))).toBe("storage");
  layer.hook = () => undefined;
  await store.save("s", [message("one")]);
  fs.rmSync(join(above, "a"), { recursive: true });
  expect([await store.load("s"), await store.list(), await store.delete("s")]).toEqual([undefined, [], false]);
  expect(await outcome_of(store.save("s", [message("two")]))).toBe("done");
  expect(await texts_in(root)).toEqual(["two"]);
});

test("rule 41: a full disk is said to be full, with the cause", async () => {
  const layer = new HookedLayer(({ name }) => fail_if(name === "file.write", "ENOSPC"));
  const store = new FileSessionStore(quick_directory(), {}, layer);
  const error: unknown = await store.save("s", []).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "storage", session_id: "s", cause: { code: "ENOSPC" } });
  expect((error as Error).message).toContain("full");
});

test("rule 41: a root that is a file is a storage error for all that writes", async () => {
  const root = join(quick_directory(), "file");
  fs.writeFileSync(root, "");
  const store = new FileSessionStore(root);
  const calls = [store.save("s", []), store.list(), store.load("s"), store.update("s", {}), store.delete("s")];
  expect(await Promise.all(calls.map(outcome_of))).toEqual(Array(5).fill("storage"));
  expect(fs.readFileSync(root, "utf8")).toBe("");
});

test("rule 41: errors of another realm, as in the sandbox of jest, are known by their codes", async () => {
  const root = join(quick_directory(), "root");
  const layer = new HookedLayer(undefined, { inner: FOREIGN_FILE_LAYER });
  const store = new FileSessionStore(root, {}, layer);
  expect([await store.list(), await store.load("s"), await store.delete("s")]).toEqual([[], undefined, false]);
  await store.save("s", [message("one")], { parent_id: "p" });
  await append(store, ["two"]);
  await store.set_draft("s", { prompt: message("three") as never, updated_at: "2024-01-01T00:00:00.000Z" });
  await store.flush();
  expect(await texts_in(root)).toEqual(["one", "two"]);
  layer.hook = ({ name, path }) => {
    if (name === "file.write") {
      throw Object.assign(foreign_error("no space is left", "ENOSPC"), { path });
    }
  };
  const error: unknown = await store.save("s", []).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "storage", message: "the storage failed: the disk is full: no space is left" });
  expect((error as SessionError).path).toMatch(/tmp$/);
  layer.hook = () => undefined;
  expect(await store.delete("s")).toBe(true);
  expect(tree(root)).toEqual([]);
});

test.each(["a save", "a compaction"])(
  "rule 30: what %s that failed could not remove is gone behind the next change",
  async (what) => {
    const root = quick_directory();
    const layer = new HookedLayer();
    const store = new FileSessionStore(root, { durable: false }, layer);
    await store.save("s", [message("one")]);
    await append(store, ["two"]);
    layer.hook = ({ name, path }) =>
      fail_if(name === "file.sync" || (name === "unlink" && path.endsWith(".tmp")), "EIO");
    if (what === "a save") {
      expect(await outcome_of(store.save("s", [message("lost")]))).toBe("storage");
    } else {
      await append(store, ["x".repeat(100_000)]);
    }
    await vi.waitUntil(() => tree(root).some((name) => name.endsWith(".tmp")));
    await vi.waitUntil(() => layer.opened === layer.closed);
    layer.hook = () => undefined;
    await store.update("s", { label: "L" });
    expect(tree(root).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    expect((await texts_in(root)).slice(0, 2)).toEqual(["one", "two"]);
  },
);
