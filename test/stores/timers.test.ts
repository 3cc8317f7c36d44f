import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, InMemorySessionStore, type SessionStore } from "@simulacra-ai/session";
import { verify_session_store } from "@simulacra-ai/session/conformance";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HookedLayer } from "./file/hooked-layer.js";
import { append, tree } from "./file/files.js";
import { message, quick_directory, temporary_directory, texts_of } from "./helpers.js";

const { setImmediate: next_round } = globalThis;

/** Nothing moves them on: a wait that uses one of them lasts for ever. */
beforeEach(() => {
  vi.useFakeTimers({
    toFake: [
      "setTimeout",
      "clearTimeout",
      "setInterval",
      "clearInterval",
      "setImmediate",
      "clearImmediate",
      "performance",
      "Date",
    ],
  });
});

afterEach(() => {
  vi.useRealTimers();
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise<void>((resolve) => next_round(resolve));
  }
}

const KIT_STORES: [string, () => () => SessionStore][] = [
  [
    "memory",
    () => {
      const store = new InMemorySessionStore();
      return () => store;
    },
  ],
  [
    "file",
    () => {
      const directory = quick_directory();
      return () => new FileSessionStore(directory, { durable: false });
    },
  ],
];

test.each(KIT_STORES)("rules 28 and 29: timers that a test replaces stop no case on the store %s", async (_, place) => {
  let open = place();
  const first = () => (open = place())();
  const again = () => open();
  const { cases, passed } = await verify_session_store({ open: first, reopen: again, open_second: again });
  expect(cases.filter(({ result }) => result === "fail")).toEqual([]);
  expect(passed).toBeGreaterThan(40);
});

test("rule 29: timers that a test replaces stop no list of a large directory", async () => {
  const store = new FileSessionStore(quick_directory(), { durable: false });
  for (let n = 0; n < 300; n += 1) {
    await store.save(`s${n}`, []);
  }
  expect(await store.list()).toHaveLength(300);
});

test("rule 29: timers that a test replaces stop no wait for a lock", async () => {
  const root = temporary_directory();
  const slow = new HookedLayer();
  const first = new FileSessionStore(root, { durable: false }, slow);
  const waiting = new HookedLayer();
  const second = new FileSessionStore(root, { durable: false }, waiting);
  await first.save("s", []);
  let go_on: () => void = () => undefined;
  let is_held = false;
  slow.hook = ({ name }) => {
    if (name === "rename" && !is_held) {
      is_held = true;
      return new Promise<void>((resolve) => (go_on = resolve));
    }
  };
  const slowly = first.save("s", [message("slow")]);
  await until(() => is_held);
  const quickly = second.save("s", [message("quick")]);
  const tries = () => waiting.names_of_operations().filter((name) => name === "symlink").length;
  await until(() => tries() > 3);
  go_on();
  await Promise.all([slowly, quickly]);
  expect(texts_of((await first.load("s"))?.messages ?? [])).toEqual(["quick"]);
});

test("rule 29: timers that a test replaces stop no fold, and keep no lock and no file open", async () => {
  const root = temporary_directory();
  const layer = new HookedLayer();
  const store = new FileSessionStore(root, { durable: false }, layer);
  await store.save("s", []);
  for (let n = 0; n < 40; n += 1) {
    await append(store, [`${n} ${"x".repeat(2_000)}`]);
  }
  await until(() => fs.statSync(join(root, "s.json")).size > 50_000);
  await until(() => !tree(root).includes("s.lock@") && layer.opened === layer.closed);
  await store.flush();
  expect(tree(root)).toEqual(["s.json"]);
});
