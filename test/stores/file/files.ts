import fs from "node:fs";
import { join, relative } from "node:path";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { expect } from "vitest";
import { loaded, message, outcome_of, texts_of } from "../helpers.js";
import { HookedLayer } from "./hooked-layer.js";

/** Every file below a directory; links end with `@`, directories with `/`. */
export function tree(root: string, directory = root): string[] {
  const entries = fs.readdirSync(directory, { withFileTypes: true });
  return entries
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      const name = relative(root, path);
      return entry.isDirectory() ? [`${name}/`, ...tree(root, path)] : [entry.isSymbolicLink() ? `${name}@` : name];
    })
    .sort();
}

export function inode(...path: string[]): number {
  return fs.statSync(join(...path)).ino;
}

export async function append(store: FileSessionStore, texts: string[], id = "s", metadata = {}): Promise<void> {
  const { revision } = await loaded(store, id);
  await store.append(
    id,
    texts.map((text) => message(text)),
    { revision, metadata },
  );
}

export async function texts_in(root: string, id = "s"): Promise<string[]> {
  return texts_of((await loaded(new FileSessionStore(root), id)).messages);
}

/** What the snapshot alone says, as anything that reads JSON sees it. */
export function parsed(root: string, id = "s"): { metadata: Record<string, unknown>; messages: unknown[] } {
  return JSON.parse(fs.readFileSync(join(root, `${id}.json`), "utf8")) as ReturnType<typeof parsed>;
}

/** A session as any new reader finds it, in one text; a session that cannot be read is its error's code. */
export async function content(root: string, id = "s"): Promise<string> {
  const store = new FileSessionStore(root);
  let session;
  const outcome = await outcome_of(store.load(id).then((found) => (session = found)));
  return outcome === "done" ? JSON.stringify(session ?? "gone") : outcome;
}

/** A session as the published package writes it. */
export function publish(root: string, id: string, metadata: object, messages: unknown[]): void {
  fs.mkdirSync(root, { recursive: true });
  fs.writeFileSync(join(root, `${id}.json`), JSON.stringify({ metadata, messages }, null, 2));
}

/** A store that has the session `s`: a snapshot of `one`, and a record each for `two` and `three`. */
export async function with_journal(
  root: string,
  metadata = {},
  options = {},
  format: FileSessionFormat = "json",
): Promise<FileSessionStore> {
  const store = new FileSessionStore(root, { format }, new HookedLayer(undefined, options));
  await store.save("s", [message("one")], { label: "L", ...metadata });
  await append(store, ["two"]);
  await append(store, ["three"]);
  expect(tree(root)).toContain("s.journal");
  return store;
}

/** Appends so many messages. Begins anew if another writer was faster. */
export async function append_many(store: FileSessionStore, name: string, count: number): Promise<void> {
  for (let n = 0; n < count;) {
    const outcome = await outcome_of(append(store, [`${name} ${n}`]));
    expect(["done", "conflict"]).toContain(outcome);
    n += outcome === "done" ? 1 : 0;
  }
}

/** Expects the messages of all writers of `append_many`, each writer's in its own order. */
export function expect_all(texts: string[], writers: string[], count: number): void {
  expect(texts).toHaveLength(writers.length * count);
  for (const writer of writers) {
    const own = texts.filter((text) => text.startsWith(writer));
    expect(own).toEqual(Array.from({ length: count }, (_, n) => `${writer} ${n}`));
  }
}

/** Expects that each call with the second id says that the first id is there. */
export async function require_conflicts(store: FileSessionStore, second: string, first: string): Promise<void> {
  const calls = {
    load: () => store.load(second),
    save: () => store.save(second, [message("second")]),
    append: () => store.append(second, [message("second")], { revision: "x" }),
    replace: () => store.replace(second, [message("second")], { revision: null }),
    update: () => store.update(second, { label: "second" }),
    set_draft: () =>
      store.set_draft(second, { prompt: { role: "user", content: [] }, updated_at: "2024-01-01T00:00:00.000Z" }),
    repair: () => store.repair(second),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await call().then(
      () => `${name} is done`,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: "conflict", session_id: second });
    const { message: text } = error as Error;
    expect([name, text.includes(` ${first} `) || text.includes(` ${first}:`), text.includes(second)]).toEqual([
      name,
      true,
      true,
    ]);
  }
  expect(await store.delete(second)).toBe(false);
}
