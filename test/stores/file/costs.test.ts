import fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test, vi } from "vitest";
import { loaded, message, temporary_directory } from "../helpers.js";
import { append, parsed, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

/** What changes something on the disk. */
const CHANGES = new Set([
  ...["create", "make_directory", "remove_directory", "rename", "link", "unlink", "symlink", "sync_directory"],
  ...["file.write", "file.truncate", "file.sync", "file.datasync"],
]);

const texts = (count: number, length: number) => Array.from({ length: count }, (_, n) => `${n} `.padEnd(length, "x"));

async function filled(count: number, length: number, layer: HookedLayer, root = temporary_directory()) {
  const store = new FileSessionStore(root, { durable: false }, layer);
  await store.save(
    "s",
    texts(count, length).map((text) => message(text)),
  );
  return { root, store };
}

test("rule 32: an append writes what is new and little more, however long the history", async () => {
  const costs = new Map<number, { operations: string[]; bytes: number }>();
  for (const count of [10, 5000]) {
    const layer = new HookedLayer();
    const { store } = await filled(count, 1000, layer);
    let { revision } = await loaded(store);
    ({ revision } = await store.append("s", [message("first")], { revision }));
    layer.forget();
    await store.append("s", [message("x".repeat(2000))], { revision });
    expect(layer.bytes_read).toBe(0);
    expect(layer.bytes_written).toBeLessThan(2000 + 700);
    costs.set(count, { operations: layer.names_of_operations(), bytes: layer.bytes_written });
  }
  const [short, long] = [costs.get(10), costs.get(5000)];
  expect(long?.operations).toEqual(short?.operations);
  expect(Math.abs((long?.bytes ?? 0) - (short?.bytes ?? 0))).toBeLessThan(20);
});

test("rule 32: the first append of a new store reads the head of the snapshot, and not the messages", async () => {
  const { root } = await filled(500, 1000, new HookedLayer());
  const { revision } = await loaded(new FileSessionStore(root));
  const layer = new HookedLayer();
  await new FileSessionStore(root, {}, layer).append("s", [message("new")], { revision });
  expect(layer.bytes_read).toBeLessThanOrEqual(4096);
  expect(layer.bytes_written).toBeLessThan(1000);
});

test("rule 32: a change of metadata behind an append costs no rewrite", async () => {
  const layer = new HookedLayer();
  const { store } = await filled(2000, 1000, layer);
  await append(store, ["new"]);
  layer.forget();
  await store.update("s", { label: "L" });
  expect([layer.bytes_read, layer.bytes_written < 1000]).toEqual([0, true]);
});

test.each([
  { size: 10, limit: 80 * 1024, pause_ms: 5 },
  { size: 300_000, limit: 600_000, pause_ms: 0 },
])(
  "rule 30.2: a journal is compacted when it outgrows 80 KiB, and twice the snapshot of $size bytes",
  async ({ size, limit, pause_ms }) => {
    const layer = new HookedLayer();
    const { root, store } = await filled(1, size, layer);
    let { revision } = await loaded(store);
    let before = 0;
    ({ revision } = await store.append("s", [message("begins the journal")], { revision }));
    for (const text of texts(200, 10_000)) {
      layer.forget();
      ({ revision } = await store.append("s", [message(text)], { revision }));
      before = fs.statSync(join(root, "s.journal")).size;
      await (pause_ms > 0 ? sleep(pause_ms) : undefined);
      if (layer.operations.some(({ name, path }) => name === "create" && path.endsWith(".tmp"))) {
        break; // a compaction has begun
      }
    }
    await vi.waitUntil(() => fs.readdirSync(root).join() === "s.json");
    expect(before).toBeGreaterThan(limit - 12_000);
    expect(before).toBeLessThan(limit + 12_000);
    expect(parsed(root).metadata["message_count"]).toBe(parsed(root).messages.length);
    expect((await loaded(store)).revision).toBe(revision);
  },
);

test("rule 32: all folds together write a small multiple of what is appended", async () => {
  const layer = new HookedLayer();
  const { store } = await filled(0, 0, layer);
  let { revision } = await loaded(store);
  for (const text of texts(2000, 1000)) {
    ({ revision } = await store.append("s", [message(text)], { revision }));
  }
  await store.flush();
  expect(layer.bytes_written).toBeLessThan(6 * 2_000_000);
  expect(layer.closed).toBe(layer.opened);
});

test("rule 35: list reads the head of each snapshot and the end of each journal", async () => {
  const root = temporary_directory();
  const writer = new FileSessionStore(root, { durable: false });
  for (let n = 0; n < 20; n += 1) {
    await writer.save(`s${n}`, [message("x".repeat(200_000))], { label: `${n}` });
    if (n % 2 === 0) {
      await append(writer, ["y".repeat(50_000), "z"], `s${n}`);
      await writer.update(`s${n}`, { label: `${n} changed` });
    }
  }
  const layer = new HookedLayer();
  const all = await new FileSessionStore(root, {}, layer).list();
  expect(new Map(all.map(({ id, label, message_count }) => [id, `${label} ${message_count}`]))).toEqual(
    new Map(Array.from({ length: 20 }, (_, n) => [`s${n}`, n % 2 === 0 ? `${n} changed 3` : `${n} 1`])),
  );
  expect(layer.bytes_read).toBeLessThanOrEqual(20 * 4096 + 10 * 4096);
  expect(layer.operations.filter(({ name }) => CHANGES.has(name))).toEqual([]);
  expect(layer.closed).toBe(layer.opened);
});

test("rule 35: metadata longer than the first block are read to their end, and no further", async () => {
  const root = temporary_directory();
  const custom = { long: "ü".repeat(30_000) };
  await new FileSessionStore(root).save("s", [message("x".repeat(2_000_000))], { custom });
  const layer = new HookedLayer();
  const [entry] = await new FileSessionStore(root, {}, layer).list();
  expect(entry).toMatchObject({ custom, message_count: 1 });
  expect(layer.bytes_read).toBeLessThan(6 * 60_000);
});

test.each(["", "\ufeff"])("rule 35: of a published file that begins with %j list reads the head", async (begin) => {
  const root = temporary_directory();
  const messages = [message("x".repeat(1_000_000))];
  const metadata = { label: "L", message_count: 1, created_at: "2024", updated_at: "2024" };
  fs.writeFileSync(join(root, "s.json"), begin + JSON.stringify({ metadata, messages }, null, 2));
  const layer = new HookedLayer();
  expect(await new FileSessionStore(root, {}, layer).list()).toEqual([{ id: "s", ...metadata }]);
  expect(layer.bytes_read).toBeLessThanOrEqual(4096);
});

test("rule 35: a long last record does not make list read the messages of the snapshot", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { durable: false });
  await store.save("s", [message("x".repeat(4_000_000))]);
  await append(store, ["y".repeat(400_000)]);
  const layer = new HookedLayer();
  const [entry] = await new FileSessionStore(root, {}, layer).list();
  expect(entry?.message_count).toBe(2);
  expect(layer.bytes_read).toBeLessThan(1_500_000);
});

test("rule 34: readers never write, whatever they find", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root);
  await store.save("s", [message("one")], { parent_id: "p" });
  await append(store, ["two"]);
  fs.appendFileSync(join(root, "s.journal"), "torn");
  fs.writeFileSync(join(root, "s.0123456789ab.tmp"), "left");
  fs.writeFileSync(join(root, "bad.json"), "{");
  const before = tree(root);
  const layer = new HookedLayer();
  const reader = new FileSessionStore(root, {}, layer);
  expect((await loaded(reader)).messages).toHaveLength(2);
  await expect(reader.load("bad")).rejects.toMatchObject({ code: "corrupt" });
  expect(await reader.load("missing")).toBeUndefined();
  expect(await reader.list()).toHaveLength(2);
  expect(layer.operations.filter(({ name }) => CHANGES.has(name))).toEqual([]);
  expect(tree(root)).toEqual(before);
  expect(layer.closed).toBe(layer.opened);
});

test("rule 39: without `durable` only new files are synced, and everything else is as before", async () => {
  const [synced, unsynced] = [new HookedLayer(), new HookedLayer()];
  for (const [layer, durable] of [
    [synced, true],
    [unsynced, false],
  ] as const) {
    const store = new FileSessionStore(`${temporary_directory()}/new`, { durable }, layer);
    await store.save("s", [message("one")], { parent_id: "p" });
    await append(store, ["two"]);
    await append(store, ["three"]);
    await store.flush();
    await store.delete("s");
  }
  const is_sync = (name: string) => /sync/.test(name);
  const synced_files = unsynced.operations.filter(({ name }) => is_sync(name)).map(({ path }) => path.slice(-4));
  expect(synced_files).toEqual([".tmp", ".tmp", ".tmp"]);
  expect(synced.names_of_operations().filter(is_sync).length).toBeGreaterThan(8);
  const others = (layer: HookedLayer) => layer.names_of_operations().filter((name) => !is_sync(name));
  expect(others(unsynced)).toEqual(others(synced));
});
