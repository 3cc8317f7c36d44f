import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { RecordingLayer } from "../../crash/recording-layer.js";
import { loaded, message, outcome_of, texts_of } from "../helpers.js";
import { append } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

const ROOT = "/sessions";

type Act = (store: FileSessionStore, revision: string) => Promise<unknown>;

const append_mine: Act = (store, revision) => store.append("s", [message("mine")], { revision });

/** What a process was about to do when it was stopped for so long that its lock was broken. */
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

/** What another process did meanwhile. */
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
      if (read !== "done" || !/^(done|conflict)$/.test(mine) || !keeps_theirs || !keeps_mine) {
        wrong.push(`${n} ${name} ${path}: mine ${mine}, theirs ${theirs}, ${read} [${texts.join()}]`);
      }
    }
    expect(wrong).toEqual([]);
  },
);
