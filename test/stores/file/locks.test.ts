import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test, vi } from "vitest";
import { use_fake_timers } from "../../support/fake-timers.js";
import { loaded, message, outcome_of, temporary_directory, texts_of } from "../helpers.js";
import { use_children } from "./children.js";
import { append, texts_in, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

const start_child = use_children();

/** Resolves when an operation of this kind was asked for so many times. */
function asked_for(layer: HookedLayer, name: string, times: number): Promise<void> {
  return new Promise((resolve) => {
    layer.hook = () => {
      if (layer.operations.filter((operation) => operation.name === name).length >= times) {
        resolve();
      }
    };
  });
}

test("rule 31: the lock of a living process is waited for, and only the session's own", async () => {
  const root = temporary_directory();
  await new FileSessionStore(root).save("s", [message("one")]);
  const child = start_child({ root, steps: ["append"], hold_before: "file.sync" });
  await child.printed("held");
  const layer = new HookedLayer();
  const waiting = asked_for(layer, "symlink", 20);
  const store = new FileSessionStore(root, {}, layer);
  const saved = store.save("s", [message("by the parent")]);
  await waiting;
  expect(tree(root)).toEqual(expect.arrayContaining(["s.journal", "s.lock@"]));
  await new FileSessionStore(root).save("other", []);
  expect((await store.list()).map(({ id }) => id).sort()).toEqual(["other", "s"]);
  child.process.stdin.write("go\n");
  expect((await child.ended).lines).toContain("append");
  await saved;
  expect(await texts_in(root)).toEqual(["by the parent"]);
  expect(tree(root)).toEqual(["other.json", "s.json"]);
});

test("rule 31: the lock of a living process is waited for, however long", async () => {
  const root = temporary_directory();
  const slow = new HookedLayer();
  const first = new FileSessionStore(root, {}, slow);
  await first.save("s", [message("one")]);
  const second = new FileSessionStore(root, { durable: false });
  await second.save("other", []); // so that nothing but the lock is left to wait for
  use_fake_timers();
  let go_on: () => void = () => undefined;
  const held = new Promise<void>((holds) => {
    slow.hook = ({ name }) => {
      if (name === "rename") {
        holds();
        return new Promise<void>((resolve) => (go_on = resolve));
      }
    };
  });
  const slowly = outcome_of(first.save("s", [message("slow")]));
  await held;
  const lock = fs.readlinkSync(join(root, "s.lock"));
  const quickly = outcome_of(second.save("s", [message("quick")]));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(tree(root)).toContain("s.lock@");
  expect(fs.readlinkSync(join(root, "s.lock"))).toBe(lock);
  expect(await texts_in(root)).toEqual(["one"]);
  slow.hook = () => undefined;
  go_on();
  expect(await slowly).toBe("done");
  await vi.advanceTimersByTimeAsync(1000);
  expect(await quickly).toBe("done");
  expect(await texts_in(root)).toEqual(["quick"]);
});

/** A session `s` in a new directory, and what its lock says while it is changed. */
async function with_lock_seen(): Promise<{
  root: string;
  store: FileSessionStore;
  layer: HookedLayer;
  target: string;
}> {
  const root = temporary_directory();
  let target = "";
  class SpyLayer extends HookedLayer {
    override symlink(to: string, path: string): Promise<void> {
      target = to;
      return super.symlink(to, path);
    }
  }
  const layer = new SpyLayer();
  const store = new FileSessionStore(root, { durable: false }, layer);
  await store.save("s", [message("one")]);
  return { root, store, layer, target };
}

/** A lock with another text at one of its places. */
function with_part(target: string, place: number, part: string): string {
  return target.split(".").with(place, part).join(".");
}

test.each<[string, (target: string) => string]>([
  ["of another machine", (target) => with_part(target, 3, "abcdef")],
  ["of another pid namespace", (target) => with_part(target, 4, "abcdef")],
  ["that says nothing", () => "nowhere"],
])("rule 31: a lock %s is broken when it has not changed for ten seconds, and not before", async (_, change) => {
  const { root, store, target } = await with_lock_seen();
  const lock = join(root, "s.lock");
  fs.symlinkSync(change(target), lock);
  use_fake_timers();
  const saved = store.save("s", [message("two")]);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(await texts_in(root)).toEqual(["one"]);
  fs.rmSync(lock);
  fs.symlinkSync(with_part(change(target), -1, "0123456789ab"), lock);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(await texts_in(root)).toEqual(["one"]);
  await vi.advanceTimersByTimeAsync(2_000);
  await saved;
  expect(await texts_in(root)).toEqual(["two"]);
  expect(tree(root)).toEqual(["s.json"]);
});

test.each<[string, (target: string) => string]>([
  ["of a process of this machine before it booted", (target) => with_part(target, 2, "abcdef")],
  ["of another process that had the same number", (target) => with_part(target, 1, "1")],
])("rule 30: a lock %s is dead at once", async (_, change) => {
  const { root, store, layer, target } = await with_lock_seen();
  fs.symlinkSync(change(target), join(root, "s.lock"));
  fs.writeFileSync(join(root, `s.${target.split(".").at(-1)}.tmp`), "left");
  layer.forget();
  await store.save("s", [message("two")]);
  expect(layer.names_of_operations().filter((name) => name === "symlink")).toHaveLength(2);
  expect(tree(root)).toEqual(["s.json"]);
});

/** Appends so many messages; begins anew where another writer was faster. */
async function append_many(store: FileSessionStore, name: string, count: number): Promise<void> {
  for (let n = 0; n < count;) {
    const outcome = await outcome_of(append(store, [`${name} ${n}`]));
    expect(["done", "conflict"]).toContain(outcome);
    n += outcome === "done" ? 1 : 0;
  }
}

/** Everything of everybody, each writer's in its own order. */
function expect_all(texts: string[], writers: string[], count: number): void {
  expect(texts).toHaveLength(writers.length * count);
  for (const writer of writers) {
    const own = texts.filter((text) => text.startsWith(writer));
    expect(own).toEqual(Array.from({ length: count }, (_, n) => `${writer} ${n}`));
  }
}

test("rule 40: two stores of one process lose nothing, whatever else they do", async () => {
  const root = temporary_directory();
  const [a, b] = [new FileSessionStore(root), new FileSessionStore(root)];
  await a.save("s", []);
  const others = Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? a.update("s", { model: `${n}` }) : b.flush("s")));
  await Promise.all([append_many(a, "a", 50), append_many(b, "b", 50), ...others]);
  expect_all(await texts_in(root), ["a", "b"], 50);
  expect_all(texts_of((await loaded(a)).messages), ["a", "b"], 50);
  await b.flush();
  expect_all(await texts_in(root), ["a", "b"], 50);
  expect(tree(root)).toEqual(["s.json"]);
});

test("rule 40: of two saves at once one is the last, and neither is torn", async () => {
  const root = temporary_directory();
  const stores = [new FileSessionStore(root), new FileSessionStore(root), new FileSessionStore(root)];
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(
      stores.map((store, n) =>
        store.save(
          "s",
          [1, 2, 3].map(() => message(`${round} of ${n}`)),
        ),
      ),
    );
    const texts = await texts_in(root);
    expect(texts).toHaveLength(3);
    expect(new Set(texts).size).toBe(1);
    expect(texts[0]).toMatch(new RegExp(`^${round} of`));
  }
  expect(tree(root)).toEqual(["s.json"]);
});
