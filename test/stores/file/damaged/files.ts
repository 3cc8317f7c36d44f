import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionStoreOptions } from "@simulacra-ai/session";
import { expect } from "vitest";
import { loaded, message, quick_directory, texts_of } from "../../helpers.js";
import { append, tree } from "../files.js";

export const FORMATS = ["json", "ndjson"] as const;
export type Format = (typeof FORMATS)[number];

/** The file with the head of a session, and the one with its messages. */
export const HEAD = { json: "s.json", ndjson: "s.meta.json" } as const;
export const DATA = { json: "s.json", ndjson: "s.ndjson" } as const;

/** All files of a session at rest. */
export const FILES: Record<Format, string[]> = { json: ["s.json"], ndjson: ["s.meta.json", "s.ndjson"] };

export function open(root: string, format: Format, options: FileSessionStoreOptions = {}): FileSessionStore {
  return new FileSessionStore(root, { format, ...options });
}

/** All there is to see of every file below a directory. */
export function look(root: string): unknown[] {
  return tree(root).map((name) => {
    const stats = fs.lstatSync(join(root, name.replace(/[@/]$/, "")), {
      bigint: true,
    });
    const bytes = /[@/]$/.test(name) ? "" : fs.readFileSync(join(root, name), "latin1");
    return [name, stats.mtimeNs, stats.ctimeNs, stats.ino, stats.mode, stats.nlink, stats.size, bytes];
  });
}

/** A directory with the session `s` of `one`, `two` and `three`, at rest or with the last two in its journal. */
export async function session(format: Format, at_rest = true, metadata = {}) {
  const root = quick_directory();
  const store = open(root, format);
  await store.save("s", [message("one")], { label: "L", ...metadata });
  await append(store, ["two"]);
  await append(store, ["three"]);
  if (at_rest) {
    await store.flush();
  }
  const path = (name: string) => join(root, name);
  const change = (name: string, damage: (bytes: Buffer) => Buffer | string) =>
    fs.writeFileSync(path(name), damage(fs.readFileSync(path(name))));
  return { root, store, path, change };
}

/** Whether a session is as good as any: all that can be done with it, done by a new store. */
export async function expect_usable(root: string, before: string[], format: Format = "json"): Promise<void> {
  const store = open(root, format);
  expect(texts_of((await loaded(store)).messages)).toEqual(before);
  const entry = (await store.list()).find(({ id }) => id === "s");
  expect([entry?.message_count, entry?.damaged]).toEqual([before.length, undefined]);
  await append(store, ["more"]);
  expect(texts_of((await loaded(open(root, format))).messages)).toEqual([...before, "more"]);
  await store.flush("s");
  expect(texts_of((await loaded(open(root, format))).messages)).toEqual([...before, "more"]);
  expect((await store.verify()).filter(({ code }) => code !== "set_aside")).toEqual([]);
}

/** A session as another writer of the layout with lines makes it. */
export function publish_lines(root: string, id: string, metadata: object, lines: string): void {
  fs.writeFileSync(join(root, `${id}.meta.json`), JSON.stringify(metadata));
  fs.writeFileSync(join(root, `${id}.ndjson`), lines);
}
