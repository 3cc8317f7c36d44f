import fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { timers } from "../../../src/async/timers.js";
import { sort_in_steps } from "../../../src/stores/file/list/sort-in-steps.js";
import { message, temporary_directory } from "../helpers.js";
import { HookedLayer } from "./hooked-layer.js";
import { append, with_journal } from "./files.js";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Sessions of every kind that a list may meet, all of them settled. */
async function various_sessions(): Promise<string> {
  const root = temporary_directory();
  for (const format of ["json", "ndjson"] as FileSessionFormat[]) {
    const store = new FileSessionStore(root, { format, durable: false });
    const save = (name: string, metadata = {}) => store.save(`${format}-${name}`, [message("one")], metadata);
    await save("rest", { label: "ü", custom: { deep: [1, { more: "x" }] } });
    await save("long", { custom: "ü".repeat(5_000) });
    await save("journal");
    await append(store, ["two", "three"], `${format}-journal`);
    await store.update(`${format}-journal`, { label: "changed" });
    for (const damage of ["short", "head", "empty"]) {
      await save(damage);
    }
    const data = (name: string) => join(root, `${format}-${name}.${format}`);
    const head = (name: string) => (format === "json" ? data(name) : join(root, `${format}-${name}.meta.json`));
    fs.truncateSync(data("short"), fs.statSync(data("short")).size - 6);
    fs.writeFileSync(head("head"), fs.readFileSync(head("head"), "utf8").replace("created_at", "created_AT"));
    fs.writeFileSync(head("empty"), "");
  }
  fs.symlinkSync(join(root, "json-rest.json"), join(root, "linked.json"));
  fs.mkdirSync(join(root, "folder.json"));
  fs.writeFileSync(join(root, "foreign.json"), JSON.stringify({ metadata: { label: "f" }, messages: [] }));
  for (let n = 0; n < 10; n += 1) {
    fs.writeFileSync(
      join(root, `both${n}.json`),
      JSON.stringify({ metadata: { label: "not this", message_count: 0 }, messages: [] }),
    );
    fs.writeFileSync(join(root, `both${n}.meta.json`), JSON.stringify({ label: "this", message_count: 0 }));
  }
  fs.writeFileSync(join(root, "un.meta.named.json"), "{");
  fs.writeFileSync(join(root, ".hidden.json"), "{");
  for (const name of fs.readdirSync(root)) {
    fs.lutimesSync(join(root, name), 1_700_000_000, 1_700_000_000);
  }
  return root;
}

test("rule 35: list says the same, however the layer answers, and as often as it is asked", async () => {
  const root = await various_sessions();
  const layer = new HookedLayer();
  const expected = await new FileSessionStore(root, {}, layer).list();
  expect(expected.filter(({ damaged }) => damaged === undefined)).toHaveLength(17);
  expect(expected.filter(({ label }) => label === "this")).toHaveLength(10);
  expect(expected.filter(({ damaged }) => damaged !== undefined)).toHaveLength(9);
  const store = new FileSessionStore(root);
  expect(await store.list()).toEqual(expected);
  expect(await store.list()).toEqual(expected);
  let now = 0;
  vi.spyOn(timers, "now").mockImplementation(() => (now += 1)); // as if every call waited for the device
  expect(await new FileSessionStore(root).list()).toEqual(expected);
  expect(await store.list()).toEqual(expected);
});

test("rule 35: what list returns is the caller's", async () => {
  const root = await various_sessions();
  const store = new FileSessionStore(root);
  const expected = await new FileSessionStore(root).list();
  for (let time = 0; time < 3; time += 1) {
    const listed = await store.list();
    expect(listed).toEqual(expected);
    for (const entry of listed) {
      const custom = (entry as { custom?: { deep?: unknown[] } }).custom;
      custom?.deep?.push("mine");
      entry.label = "mine";
    }
  }
});

test.each(["json", "ndjson"] as const)("rule 35: a file that has changed is read again (%s)", async (format) => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { format, durable: false });
  await store.save("s", [message("one")], { label: "before" });
  const age = (name: string, seconds: number) => fs.utimesSync(join(root, name), seconds, seconds);
  const head = format === "json" ? "s.json" : "s.meta.json";
  age(head, 1_700_000_000);
  const reader = new FileSessionStore(root);
  expect(await reader.list()).toMatchObject([{ label: "before", message_count: 1 }]);
  const metadata = { label: "behind", message_count: 0 };
  const text = JSON.stringify(format === "json" ? { metadata, messages: [] } : metadata);
  fs.writeFileSync(join(root, head), text.padEnd(fs.statSync(join(root, head)).size)); // same inode, same size
  age(head, 1_700_000_001);
  expect(await reader.list()).toMatchObject([{ label: "behind" }]);
  await append(store, ["two"], "s");
  expect(await reader.list()).toMatchObject([{ label: "behind", message_count: format === "json" ? 1 : 2 }]);
  fs.rmSync(join(root, head));
  expect(await reader.list()).toEqual([]);
});

test.each([0, 1, 499, 500, 501, 1_000, 1_501, 4_321])("sorting %i items in steps sorts them all", async (length) => {
  const items = Array.from({ length }, (_, n) => (n * 7919) % 1_009);
  const compare = (a: number, b: number) => a - b;
  let pauses = 0;
  const pause = () => ((pauses += 1), undefined);
  expect(await sort_in_steps(items, compare, pause)).toEqual([...items].sort(compare));
  expect(pauses).toBeGreaterThanOrEqual(Math.ceil(length / 500));
});

test("rule 35: a last line that claims more bytes than its journal has is no obstacle to a list", async () => {
  const root = temporary_directory();
  const store = await with_journal(root);
  fs.appendFileSync(join(root, "s.journal"), `#0123456789abcdef 999999 {"n":3}\n`);
  expect(await new FileSessionStore(root).list()).toMatchObject([{ id: "s", message_count: 3 }]);
  expect(await store.list()).toMatchObject([{ id: "s", message_count: 3 }]);
});
