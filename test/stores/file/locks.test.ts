import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { describe, expect, test, vi } from "vitest";
import { checksum } from "../../../src/stores/file/format/checksum.js";
import { pass_time_until, use_fake_timers } from "../../support/fake-timers.js";
import { loaded, message, outcome_of, temporary_directory, texts_of } from "../helpers.js";
import { use_children } from "./children.js";
import { append_many, expect_all, texts_in, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";
import { FEWEST, LimitedLayer, type Refusals } from "./limited-layer.js";

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

test("rule 44: the lock of a living process is waited for, and only the session's own", async () => {
  const root = temporary_directory();
  await new FileSessionStore(root).save("s", [message("one")]);
  const child = start_child({ root, steps: ["append"], hold_before: "file.sync" });
  await child.printed("held");
  const layer = new HookedLayer();
  const waiting = asked_for(layer, "symlink", 20);
  const store = new FileSessionStore(root, {}, layer);
  const saved = store.save("s", [message("by the parent")]);
  await waiting;
  expect(tree(root)).toContain("s.lock@");
  await new FileSessionStore(root).save("other", []);
  expect((await store.list()).map(({ id }) => id).sort()).toEqual(["other", "s"]);
  child.process.stdin.write("go\n");
  expect((await child.ended).lines).toContain("append");
  await saved;
  expect(await texts_in(root)).toEqual(["by the parent"]);
  expect(tree(root)).toEqual(["other.json", "s.json"]);
});

test("rule 44.3: the lock of a living process is waited for, and kept; after lock_timeout_ms the wait is an error", async () => {
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
  const patient = new FileSessionStore(root, { durable: false, lock_timeout_ms: 120_000 });
  const patiently = outcome_of(patient.save("s", [message("quick")]));
  const impatiently = second.save("s", [message("too late")]).catch((error: unknown) => error);
  let error: unknown;
  void impatiently.then((answer) => (error = answer));
  await vi.advanceTimersByTimeAsync(19_900);
  expect(error).toBe(undefined);
  await vi.advanceTimersByTimeAsync(40_100);
  expect(error).toMatchObject({ code: "storage", session_id: "s", path: join(root, "s.lock") });
  expect(String(error)).toContain(`process ${process.pid}, thread `);
  expect(tree(root)).toContain("s.lock@");
  expect(fs.readlinkSync(join(root, "s.lock"))).toBe(lock);
  expect(await texts_in(root)).toEqual(["one"]);
  slow.hook = () => undefined;
  go_on();
  expect(await slowly).toBe("done");
  expect(await pass_time_until(patiently)).toBe("done");
  expect(await texts_in(root)).toEqual(["quick"]);
});

test.each([-1, NaN, "1000"])("rule 25: %s is no lock_timeout_ms", (lock_timeout_ms) => {
  const options = { lock_timeout_ms } as { lock_timeout_ms: number };
  expect(() => new FileSessionStore("sessions", options)).toThrow(expect.objectContaining({ code: "invalid_input" }));
});

/** A session `s` in a new directory, and what its lock says while it is changed. */
async function with_lock_seen(refusals: Refusals): Promise<{
  root: string;
  store: FileSessionStore;
  layer: HookedLayer;
  target: string;
}> {
  const root = temporary_directory();
  let target = "";
  class SpyLayer extends LimitedLayer {
    override symlink(to: string, path: string): Promise<void> {
      target = to;
      return super.symlink(to, path);
    }
  }
  const layer = new SpyLayer(refusals);
  const store = new FileSessionStore(root, { durable: false }, layer);
  await store.save("s", [message("one")]);
  return { root, store, layer, target };
}

/** A lock with another text at one of its places. */
function with_part(target: string, place: number, part: string): string {
  return target.split(".").with(place, part).join(".");
}

/** Locks as they are made where there are symbolic links, and where there are none. */
const KINDS: [string, Refusals, (content: string, path: string) => void][] = [
  ["a symbolic link", {}, (content, path) => fs.symlinkSync(content, path)],
  ["a file", FEWEST, (content, path) => fs.writeFileSync(path, content)],
];

describe.each(KINDS)("a lock that is %s", (_kind, refusals, plant) => {
  test.each<[string, (target: string) => string]>([
    ["of another machine", (target) => with_part(target, 3, "abcdef")],
    [
      "of another boot, or of another machine that was cloned from one image",
      (target) => with_part(target, 2, "abcdef"),
    ],
    ["of another pid namespace", (target) => with_part(target, 4, "abcdef")],
    ["that says nothing", () => "nowhere"],
    ["whose content is cut off", (target) => target.slice(0, -1)],
  ])("rule 44.2: a lock %s is broken when it has not changed for ten seconds, and not before", async (_, change) => {
    const { root, store, target } = await with_lock_seen(refusals);
    const lock = join(root, "s.lock");
    plant(change(target), lock);
    use_fake_timers();
    const saved = store.save("s", [message("two")]);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(await texts_in(root)).toEqual(["one"]);
    fs.rmSync(lock);
    plant(with_part(change(target), -1, "0123456789ab"), lock);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(await texts_in(root)).toEqual(["one"]);
    await pass_time_until(saved);
    expect(await texts_in(root)).toEqual(["two"]);
    expect(tree(root)).toEqual(["s.json"]);
  });

  test("rule 44.3: a claim that says the same as the lock ends the wait with an error", async () => {
    const { root, target } = await with_lock_seen(refusals);
    const dead = target.replace(/^\d+/, "999999999");
    plant(dead, join(root, "s.lock"));
    plant(dead, join(root, `s.${checksum("claim", dead).slice(0, 12)}.tmp`));
    const saved = new FileSessionStore(root, { lock_timeout_ms: 50 }).save("s", [message("two")]);
    expect(await outcome_of(saved)).toBe("storage");
    expect(await texts_in(root)).toEqual(["one"]);
  });

  test.each<[string, (target: string) => string]>([
    ["of a thread that has ended", (target) => target.replace(/-\d+/, "-999999999")],
    ["of another process that had the same number", (target) => with_part(target, 1, "1")],
  ])("rule 44.2: a lock %s is dead at once", async (_, change) => {
    const { root, store, layer, target } = await with_lock_seen(refusals);
    plant(change(target), join(root, "s.lock"));
    fs.writeFileSync(join(root, `s.${target.split(".").at(-1)}.tmp`), "left");
    layer.forget();
    await store.save("s", [message("two")]);
    expect(layer.names_of_operations().filter((name) => name === "symlink")).toHaveLength(2);
    expect(tree(root)).toEqual(["s.json"]);
  });
});

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

test("rule 44.2: calls that wait for less than ten seconds each take a dead lock over, too", async () => {
  const { root, target } = await with_lock_seen({});
  fs.symlinkSync(with_part(target, 2, "abcdef"), join(root, "s.lock"));
  const store = new FileSessionStore(root, { durable: false, lock_timeout_ms: 1_500 });
  await store.save("other", []); // so that nothing but the lock is left to wait for
  use_fake_timers();
  const outcomes: string[] = [];
  for (let call = 0; call < 9; call += 1) {
    outcomes.push(await pass_time_until(outcome_of(store.save("s", [message("two")]))));
  }
  expect(outcomes.slice(0, 4)).toEqual(Array(4).fill("storage"));
  expect(outcomes.at(-1)).toBe("done");
});

test("rule 44.2: a lock file that is being written has not aged, however old the waiting process is", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { durable: false });
  await store.save("s", [message("one")]);
  use_fake_timers();
  vi.advanceTimersByTime(60_000);
  fs.writeFileSync(join(root, "s.lock"), "");
  const saved = store.save("s", [message("two")]);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(await texts_in(root)).toEqual(["one"]);
  await pass_time_until(saved);
});

test("rule 38: a lock file has the mode of other files, so that others can tell whose it is", async () => {
  const root = temporary_directory();
  let mode: number | undefined;
  class Seeing extends LimitedLayer {
    override async create(path: string, of: number) {
      mode = path.endsWith(".lock") ? of : mode;
      return super.create(path, of);
    }
  }
  await new FileSessionStore(root, { file_mode: 0o664 }, new Seeing(FEWEST)).save("s", []);
  expect(mode).toBe(0o664);
});

test("rule 45.1: a lock file that was taken over before it was written is taken anew", async () => {
  const root = temporary_directory();
  const layer = new LimitedLayer(FEWEST);
  await new FileSessionStore(root, {}, layer).save("s", [message("one")]);
  const refuse = layer.hook;
  layer.hook = async (operation) => {
    if (operation.name === "file.write" && operation.path.endsWith("s.lock")) {
      layer.hook = refuse;
      fs.rmSync(operation.path); // it was empty for so long that another process took it over, and has let go of it
      await new FileSessionStore(root, {}, new LimitedLayer(FEWEST)).save("s", [message("theirs")]);
    }
    return refuse(operation);
  };
  await new FileSessionStore(root, {}, layer).save("s", [message("mine")]);
  expect(await texts_in(root)).toEqual(["mine"]);
  expect(tree(root)).toEqual(["s.json"]);
});

/** Changes of the session `s`, which has the one message `one`; after each, what the messages would be. */
const CHANGES: [string, string[], (store: FileSessionStore) => Promise<unknown>][] = [
  ["a first append", ["one", "two"], (store) => append(store, "two")],
  ["a save", ["two"], (store) => store.save("s", [message("two")])],
  ["a deletion", [], (store) => store.delete("s")],
];

async function append(store: FileSessionStore, text: string): Promise<unknown> {
  const { revision } = await loaded(store);
  return store.append("s", [message(text)], { revision });
}

describe.each<FileSessionFormat>(["json", "ndjson"])(
  "rule 44.4: where the lock is lost during a change (%s)",
  (format) => {
    test.each([
      ...CHANGES,
      [
        "a second append",
        ["one", "two", "three"],
        (store: FileSessionStore) => append(store, "three"),
      ] as (typeof CHANGES)[0],
    ])("%s says conflict only if nothing of it is stored", async (name, after, change) => {
      const codes = new Set<string>();
      for (let n = 1, is_over = false; !is_over; n += 1) {
        const root = temporary_directory();
        const layer = new HookedLayer(undefined, { syncs: false });
        const store = new FileSessionStore(root, { format }, layer);
        await store.save("s", [message("one")]);
        if (name === "a second append") {
          await append(store, "two");
        }
        layer.forget();
        let is_lost = false;
        layer.hook = () => {
          if (layer.operations.length >= n && !is_lost && tree(root).includes("s.lock@")) {
            is_lost = true;
            fs.rmSync(join(root, "s.lock"), { force: true });
          }
        };
        const code = await outcome_of(change(store));
        is_over = !is_lost;
        const there = (await new FileSessionStore(root, { format }).load("s"))?.messages ?? [];
        codes.add(code);
        if (code === "conflict") {
          expect([n, texts_of(there)]).not.toEqual([n, after]);
        }
      }
      expect(codes.size).toBeGreaterThan(1);
    });
  },
);
