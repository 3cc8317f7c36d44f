import { setTimeout as pause } from "node:timers/promises";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { checksum } from "../../../src/stores/file/format/checksum.js";
import { lock_of } from "../crash-states/crash-model.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import { seeded_random } from "../../support/random.js";
import { loaded, message, outcome_of, texts_of } from "../../stores/helpers.js";
import { append } from "../../stores/file/files.js";
import { HookedLayer } from "../../stores/file/hooked-layer.js";

const ROOT = "/sessions";

type Act = (store: FileSessionStore, revision: string) => Promise<unknown>;

const append_mine: Act = (store, revision) => store.append("s", [message("mine")], { revision });

/** Calls that a process was about to make when it was stopped for so long that its lock was broken. */
const STOPPED: { name: string; appends_before: string[]; act: Act }[] = [
  { name: "a first append", appends_before: [], act: append_mine },
  { name: "an append", appends_before: ["two"], act: append_mine },
  {
    name: "a replace",
    appends_before: ["two"],
    act: (store, revision) => store.replace("s", [message("mine")], { revision }),
  },
  { name: "a fold", appends_before: ["two"], act: (store) => store.flush("s") },
  { name: "an update", appends_before: [], act: (store) => store.update("s", { label: "mine" }) },
  { name: "an update behind an append", appends_before: ["two"], act: (store) => store.update("s", { label: "mine" }) },
  { name: "a delete", appends_before: ["two"], act: (store) => store.delete("s") },
];

/** Changes that another process made meanwhile. */
const MEANWHILE: { name: string; act: (store: FileSessionStore) => Promise<unknown> }[] = [
  { name: "append", act: (store) => append(store, ["theirs"]) },
  {
    name: "append, fold and append",
    act: async (store) => {
      await append(store, ["before theirs"]);
      await store.flush("s");
      await append(store, ["theirs"]);
    },
  },
  { name: "save", act: (store) => store.save("s", [message("theirs")]) },
];

/** To others, the lock is one of a process that is gone: they take it over at once. */
async function declare_dead(disk: RecordingLayer, lock: string): Promise<void> {
  if ((await disk.stat(lock)) !== undefined) {
    const target = await disk.readlink(lock);
    await disk.unlink(lock);
    await disk.symlink(target.replace(/^\d+/, "999999999"), lock);
  }
}

const CASES = STOPPED.flatMap((stopped) => MEANWHILE.map((meanwhile) => ({ stopped, meanwhile })));

test.each(CASES)(
  "rule 40: $stopped.name whose lock was broken for another's $meanwhile.name destroys nothing acknowledged",
  async ({ stopped, meanwhile }) => {
    const wrong: string[] = [];
    for (let n = 1, count = 1; n <= count; n += 1) {
      const disk = new RecordingLayer();
      const layer = new HookedLayer(undefined, { inner: disk });
      const store = new FileSessionStore(ROOT, {}, layer);
      await store.save("s", [message("one")]);
      for (const text of stopped.appends_before) {
        await append(store, [text]);
      }
      const { revision } = await loaded(store);
      layer.forget();
      let theirs = "not done";
      layer.hook = async (operation) => {
        if (operation.n === n) {
          await declare_dead(disk, `${ROOT}/s.lock`);
          theirs = await outcome_of(meanwhile.act(new FileSessionStore(ROOT, {}, disk)));
        }
      };
      const mine = await outcome_of(stopped.act(store, revision));
      count = layer.operations.length;
      const { name, path } = layer.operations[n - 1] ?? { name: "", path: "" };
      const before = layer.operations[n - 2];
      if (before?.name === "readlink" && before.path.endsWith("s.lock")) {
        continue; // no file system lets one look at a lock and act in a single step
      }
      let texts: string[] = [];
      const read = await outcome_of(
        new FileSessionStore(ROOT, {}, disk).load("s").then((session) => (texts = texts_of(session?.messages ?? []))),
      );
      const is_deleted = stopped.name === "a delete" && mine === "done";
      const keeps_theirs = theirs !== "done" || is_deleted || texts.includes("theirs");
      const keeps_mine =
        mine !== "done" ||
        !/^an? (first )?append$/.test(stopped.name) ||
        /save/.test(meanwhile.name) ||
        texts.includes("mine");
      const is_told = /^(done|storage)$/.test(mine) || (mine === "conflict" && !texts.includes("mine")); // rule 44.4
      if (read !== "done" || !is_told || !keeps_theirs || !keeps_mine) {
        wrong.push(`${n} ${name} ${path}: mine ${mine}, theirs ${theirs}, ${read} [${texts.join()}]`);
      }
    }
    expect(wrong).toEqual([]);
  },
);

/** A process died with the lock, another in taking it over. */
async function leave_dead_lock_and_claim(disk: RecordingLayer): Promise<void> {
  const dead = lock_of(999_999_999, "0123456789ab");
  await disk.symlink(dead, `${ROOT}/s.lock`);
  await disk.symlink(lock_of(999_999_998, "ba9876543210"), `${ROOT}/s.${checksum("claim", dead).slice(0, 12)}.tmp`);
}

test("rule 44: of several in one thread that find a dead lock and a dead claim to it, each gets it in its turn", async () => {
  const wrong: string[] = [];
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = seeded_random(seed);
    const disk = new RecordingLayer();
    await new FileSessionStore(ROOT, {}, disk).save("s", [message("one")]);
    await leave_dead_lock_and_claim(disk);
    const paused = async () => {
      for (let turns = random.pick([0, 0, 1, 2, 8]); turns > 0; turns -= 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const outcomes = await Promise.all(
      ["A", "B", "C"].map((label) => {
        const store = new FileSessionStore(ROOT, {}, new HookedLayer(paused, { inner: disk }));
        return outcome_of(store.update("s", { label }));
      }),
    );
    const left = (await disk.names(ROOT)).join();
    if (outcomes.some((outcome) => outcome !== "done") || left !== "s.json") {
      wrong.push(`seed ${seed}: ${outcomes.join()}, ${left}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("rule 44: two that find the claim of a dead process at once do not take it from each other", async () => {
  const disk = new RecordingLayer();
  await new FileSessionStore(ROOT, {}, disk).save("s", [message("one")]);
  await leave_dead_lock_and_claim(disk);
  const at_most = (what: Promise<void>) => Promise.race([what, pause(100)]); // it need not come to that
  const event = () => {
    let happened = () => undefined as void;
    const promise = new Promise<void>((resolve) => (happened = resolve));
    return { promise, happened };
  };
  const [second_removes, first_claimed, second_claimed, first_renamed] = [event(), event(), event(), event()];
  const is_claim = (path: string) => path.endsWith(".tmp");
  const first = new HookedLayer(undefined, { inner: disk });
  first.hook = async ({ name, path, n }) => {
    if (first.operations[n - 2]?.name === "rename") {
      first_renamed.happened();
    }
    if (name === "unlink" && is_claim(path)) {
      await at_most(second_removes.promise);
    }
    if (name === "rename" && path.endsWith("s.lock")) {
      first_claimed.happened();
      await at_most(second_claimed.promise);
    }
  };
  const second = new HookedLayer(undefined, { inner: disk });
  second.hook = async ({ name, path }) => {
    if (name === "unlink" && is_claim(path)) {
      second_removes.happened();
      await at_most(first_claimed.promise);
    }
    if (name === "rename" && path.endsWith("s.lock")) {
      second_claimed.happened();
      await at_most(first_renamed.promise);
    }
  };
  const label = (layer: HookedLayer) => outcome_of(new FileSessionStore(ROOT, {}, layer).update("s", { label: "L" }));
  expect(await Promise.all([label(first), label(second)])).toEqual(["done", "done"]);
  expect(await disk.names(ROOT)).toEqual(["s.json"]);
});

test.each(["json", "ndjson"] as const)(
  "rule 44: in %s, whoever takes over a lock that was let go of and taken again in that moment loses nothing",
  async (format) => {
    const disk = new RecordingLayer();
    const stopped = new HookedLayer(undefined, { inner: disk });
    const first = new FileSessionStore(ROOT, { format }, stopped);
    await first.save("s", [message("one")]);
    await disk.symlink(lock_of(999_999_999, "0123456789ab"), `${ROOT}/s.lock`);
    let go_on: () => void = () => undefined;
    let saving: Promise<string> | undefined;
    const is_about_to_rename = new Promise<void>((resolve) => {
      stopped.hook = ({ name, path }) => {
        if (name === "rename" && path.endsWith(format === "json" ? "s.json" : "s.meta.json")) {
          resolve();
          return new Promise<void>((continued) => (go_on = continued));
        }
      };
    });
    const taking = new HookedLayer(undefined, { inner: disk });
    taking.hook = async ({ name, path }) => {
      if (name === "rename" && path.endsWith("s.lock") && saving === undefined) {
        await disk.unlink(`${ROOT}/s.lock`); // its holder lives after all, and lets go of it
        saving = outcome_of(first.save("s", [message("one"), message("late")]));
        await is_about_to_rename;
      }
    };
    await append(new FileSessionStore(ROOT, { format }, taking), ["theirs"]);
    go_on();
    expect(await saving).toBe("storage"); // its snapshot was about to get its name
    const { messages } = await loaded(new FileSessionStore(ROOT, { format }, disk));
    expect(texts_of(messages)).toEqual(["one", "theirs"]);
  },
);

test.each([
  { format: "ndjson", renames: 1 },
  { format: "json", renames: 2 }, // the first looks for a head in the other form
] as const)(
  "rule 40: a delete in $format that was stopped right before it takes the head away gives it back to who has taken the lock over",
  async ({ format, renames }) => {
    const disk = new RecordingLayer();
    const layer = new HookedLayer(undefined, { inner: disk });
    await new FileSessionStore(ROOT, { format }, disk).save("s", [message("one")]);
    layer.hook = async ({ name }) => {
      if (name === "rename" && layer.names_of_operations().filter((one) => one === "rename").length === renames) {
        layer.hook = () => undefined;
        await declare_dead(disk, `${ROOT}/s.lock`);
        await append(new FileSessionStore(ROOT, {}, disk), ["theirs"]);
      }
    };
    expect(await outcome_of(new FileSessionStore(ROOT, {}, layer).delete("s"))).toBe("conflict");
    const { messages } = await loaded(new FileSessionStore(ROOT, {}, disk));
    expect(texts_of(messages)).toEqual(["one", "theirs"]);
  },
);
