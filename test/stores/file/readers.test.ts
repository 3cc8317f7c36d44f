import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { RecordingLayer } from "../../verification/crash-states/recording-layer.js";
import { message, outcome_of, texts_of } from "../helpers.js";
import { append } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

const ROOT = "/sessions";
const FORMATS: FileSessionFormat[] = ["json", "ndjson"];

/** What a writer does between two operations of a reader, and all that the session was before, meanwhile and after. */
const WRITES: { name: string; write: (store: FileSessionStore) => Promise<unknown>; states: string[] }[] = [
  { name: "a fold", write: (store) => store.flush("s"), states: ["one,two"] },
  { name: "an append", write: (store) => append(store, ["three"]), states: ["one,two", "one,two,three"] },
  {
    name: "an append and a fold",
    write: async (store) => {
      await append(store, ["three"]);
      await store.flush("s");
    },
    states: ["one,two", "one,two,three"],
  },
  {
    name: "a fold and an append",
    write: async (store) => {
      await store.flush("s");
      await append(store, ["three"]);
    },
    states: ["one,two", "one,two,three"],
  },
  {
    name: "two folds",
    write: async (store) => {
      await store.flush("s");
      await append(store, ["three"]);
      await store.flush("s");
    },
    states: ["one,two", "one,two,three"],
  },
  { name: "a save", write: (store) => store.save("s", [message("new")]), states: ["one,two", "new"] },
  { name: "a delete", write: (store) => store.delete("s"), states: ["one,two", "gone"] },
];

const CASES = FORMATS.flatMap((format) => WRITES.map((write) => ({ format, ...write })));

test.each(CASES)("rule 34: load and list see a whole session ($format), with $name at any moment", async (one) => {
  const wrong: string[] = [];
  for (const way of ["load", "list"] as const) {
    for (let n = 1, count = 1; n <= count; n += 1) {
      const disk = new RecordingLayer();
      const writer = new FileSessionStore(ROOT, { format: one.format }, disk);
      await writer.save("s", [message("one")]);
      await append(writer, ["two"]);
      const layer = new HookedLayer(undefined, { inner: disk });
      layer.hook = async (operation) => {
        if (operation.n === n) {
          await one.write(writer);
        }
      };
      const reader = new FileSessionStore(ROOT, {}, layer);
      let found = "";
      const outcome = await outcome_of(
        way === "load"
          ? reader.load("s").then((session) => (found = session ? texts_of(session.messages).join() : "gone"))
          : reader.list().then(([entry]) => (found = entry?.damaged ?? `${entry?.message_count ?? "gone"}`)),
      );
      count = layer.operations.length;
      const states = one.states.map((state) =>
        way === "load" || state === "gone" ? state : `${state.split(",").length}`,
      );
      if (outcome !== "done" || !states.includes(found)) {
        const { name, path } = layer.operations[n - 1] ?? { name: "", path: "" };
        wrong.push(`${way} ${n} ${name} ${path}: ${outcome} ${found}`);
      }
      expect(layer.opened).toBe(layer.closed);
    }
  }
  expect(wrong).toEqual([]);
});
