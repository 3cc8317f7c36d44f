import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test, vi } from "vitest";
import type { LeasePolicy } from "../../../src/stores/file/lock/session-leases.js";
import { loaded, message, outcome_of, temporary_directory } from "../helpers.js";
import { append, parsed, texts_in, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

/** Lets go when it is told to, and not before. */
class Patience implements LeasePolicy {
  after = 0;
  most = 4;
  most_contended = 3;
  sure_ms = 0;
  #pauses = new Set<() => void>();

  in_a_pause(task: () => void): () => void {
    this.#pauses.add(task);
    return () => this.#pauses.delete(task);
  }

  pause(): void {
    const pauses = [...this.#pauses];
    this.#pauses.clear();
    pauses.forEach((task) => task());
  }
}

async function with_lease() {
  const root = temporary_directory();
  const leasing = new Patience();
  const layer = new HookedLayer();
  const store = new FileSessionStore(root, { durable: false }, layer, leasing);
  await store.save("s", [message("one")]);
  layer.forget();
  const locked = () => tree(root).includes("s.lock@");
  return { root, store, layer, leasing, locked };
}

const lock_texts = (root: string) => fs.readlinkSync(join(root, "s.lock"));

test("rule 44.1: appends that follow each other at once share a lock, which is let go of in a pause", async () => {
  const { root, store, layer, leasing } = await with_lease();
  await append(store, ["two"]);
  const lock = lock_texts(root);
  await append(store, ["three"]);
  await store.update("s", { label: "L" });
  expect(lock_texts(root)).toBe(lock);
  const names = layer.names_of_operations();
  expect(names.filter((name) => name === "symlink")).toHaveLength(1);
  leasing.pause();
  await vi.waitUntil(() => tree(root).join() === "s.journal,s.json");
  expect(await texts_in(root)).toEqual(["one", "two", "three"]);
  expect(layer.opened).toBe(layer.closed);
});

test("rule 30: other changes end with no lock, and nothing open", async () => {
  const { root, store, layer } = await with_lease();
  await append(store, ["two"]);
  await store.flush("s");
  expect(tree(root)).toEqual(["s.json"]);
  await append(store, ["three"]);
  await store.save("s", [message("other")]);
  expect(tree(root)).toEqual(["s.json"]);
  await append(store, ["four"]);
  expect(await store.delete("s")).toBe(true);
  expect(tree(root)).toEqual([]);
  expect(layer.opened).toBe(layer.closed);
});

test("rule 44.1: a few appends leave no lock, and of many none stays for long", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { durable: false });
  await store.save("s", []);
  for (let count = 1; count <= 4; count += 1) {
    await append(store, [`${count}`]);
    expect(tree(root)).toEqual(["s.journal", "s.json"]);
  }
  for (let count = 5; count <= 120; count += 1) {
    await append(store, [`${count}`]);
  }
  await vi.waitUntil(() => tree(root).join() === "s.journal,s.json");
});

test("rule 44.1: a lease makes room for others after so many changes", async () => {
  const { store, locked } = await with_lease();
  const seen: boolean[] = [];
  for (let count = 0; count < 8; count += 1) {
    await append(store, [`${count}`]);
    seen.push(locked());
  }
  expect(seen).toEqual([true, true, true, true, false, true, true, true]);
});

test("rule 44.1: a lock that others wanted too is taken anew for each change", async () => {
  const { root, store, layer, locked } = await with_lease();
  let go_on: () => void = () => undefined;
  const slow = new HookedLayer(({ name }) =>
    name === "file.write" ? new Promise<void>((resolve) => (go_on = resolve)) : undefined,
  );
  const slowly = append(new FileSessionStore(root, { durable: false }, slow), ["by another"]);
  await vi.waitUntil(locked);
  const waiting = store.update("s", { label: "L" });
  await vi.waitUntil(() => layer.names_of_operations().filter((name) => name === "symlink").length > 1);
  go_on();
  await slowly;
  await waiting;
  const seen: boolean[] = [];
  for (let count = 0; count < 5; count += 1) {
    await append(store, [`${count}`]);
    seen.push(locked());
  }
  expect(seen).toEqual([false, false, false, true, true]);
});

test.each(["append", "update"] as const)(
  "rule 44: where a leased lock is another's by now, an %s takes it again",
  async (what) => {
    const { root, store, locked } = await with_lease();
    await append(store, ["two"]);
    const { revision } = await loaded(store);
    fs.unlinkSync(join(root, "s.lock"));
    await new FileSessionStore(root, { durable: false }).flush("s"); // what a takeover does, too
    const change =
      what === "append" ? store.append("s", [message("three")], { revision }) : store.update("s", { label: "L" });
    expect(await outcome_of(change)).toBe("done");
    await store.flush("s");
    expect(locked()).toBe(false);
    expect(await texts_in(root)).toEqual(["one", "two", ...(what === "append" ? ["three"] : [])]);
  },
);

test("rule 44: a foreign lock stops what a leased one allowed", async () => {
  const { root, store } = await with_lease();
  await append(store, ["two"]);
  const theirs = lock_texts(root).split(".").with(3, "abcdef").with(-1, "0123456789ab").join("."); // of another machine
  fs.unlinkSync(join(root, "s.lock"));
  fs.symlinkSync(theirs, join(root, "s.lock"));
  let ended = false;
  const change = store.update("s", { label: "L" }).finally(() => (ended = true));
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect([ended, lock_texts(root)]).toEqual([false, theirs]);
  fs.unlinkSync(join(root, "s.lock"));
  await change;
  await store.flush("s");
  expect(parsed(root).metadata["label"]).toBe("L");
});

test("rule 41: a fault in a change ends the lease, and closes what was open", async () => {
  const { root, store, layer } = await with_lease();
  await append(store, ["two"]);
  layer.hook = ({ name }) => {
    if (name === "file.write") {
      throw Object.assign(new Error("no space"), { code: "ENOSPC" });
    }
  };
  expect(await outcome_of(append(store, ["lost"]))).toBe("storage");
  layer.hook = () => undefined;
  expect(tree(root)).toEqual(["s.journal", "s.json"]);
  expect(layer.opened).toBe(layer.closed);
  await append(store, ["three"]);
  await store.flush("s");
  expect(await texts_in(root)).toEqual(["one", "two", "three"]);
});
