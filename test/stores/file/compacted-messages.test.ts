import fs from "node:fs";
import { join } from "node:path";
import type { Message } from "@simulacra-ai/core";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { expect, test, vi } from "vitest";
import { after_pause } from "../../support/at-rest.js";
import { seeded_random } from "../../support/random.js";
import { loaded, message, temporary_directory } from "../helpers.js";
import { append, texts_in, tree } from "./files.js";
import { HookedLayer, system_error, type Operation } from "./hooked-layer.js";

const FORMATS = [
  { format: "json", files: ["s.json"] },
  { format: "ndjson", files: ["s.meta.json", "s.ndjson"] },
] as const;

/** A stored session whose next compaction stops when the new snapshot is written, until it is let go. */
async function with_held_compaction(format: FileSessionFormat, messages: Message[]) {
  const root = temporary_directory();
  let let_go = () => undefined as void;
  const released = new Promise<void>((resolve) => (let_go = resolve));
  let is_armed = false;
  let is_held = false;
  const layer = new HookedLayer(async ({ name, path }: Operation) => {
    if (is_armed && name === "file.close" && path.endsWith(".tmp") && fs.existsSync(join(root, "s.journal"))) {
      is_armed = false;
      is_held = true;
      await released;
    }
  });
  const store = new FileSessionStore(root, { format }, layer);
  await store.save("s", messages);
  is_armed = true;
  return { root, layer, store, let_go, is_held: () => is_held };
}

/** Appends until a compaction is held, and once more. */
async function append_beside_compaction(store: FileSessionStore, is_held: () => boolean): Promise<void> {
  let { revision } = await loaded(store);
  while (!is_held()) {
    ({ revision } = await store.append("s", [message("b".repeat(50_000))], { revision }));
    await after_pause();
  }
  await store.append("s", [message("c")], { revision });
}

/** From no text to what takes several pieces. */
function of_all_lengths(seed: number): Message[] {
  const { below } = seeded_random(seed);
  const lengths = [...Array.from({ length: 20 }, () => below(60_000)), 256 * 1024, 700_000, 3, 1_500_000];
  return lengths.map((length, n) => message(`${seed}.${n} `.padEnd(length, 'ü,\n{}#"')));
}

test.each(FORMATS)("rule 30: messages of all lengths come out of a compaction ($format)", async ({ format, files }) => {
  const all = of_all_lengths(1);
  const { root, layer, store, let_go, is_held } = await with_held_compaction(format, all);
  let { revision } = await loaded(store);
  const append_all = async (messages: readonly Message[]) => {
    for (const one of messages) {
      ({ revision } = await store.append("s", [one], { revision }));
      all.push(one);
    }
  };
  for (let seed = 2; !is_held(); seed += 1) {
    await append_all(of_all_lengths(seed));
    await after_pause();
  }
  await append_all(of_all_lengths(0));
  let_go();
  const is_in_place = ({ name, path }: Operation) => name === "rename" && path.endsWith(".journal");
  await vi.waitUntil(() => layer.operations.some(is_in_place)); // a flush would make good what it failed to do
  await store.flush();
  const found = await loaded(new FileSessionStore(root));
  expect(found.messages).toEqual(all);
  expect(found.revision).toBe(revision);
  expect(await new FileSessionStore(root).verify()).toEqual([]);
  expect(tree(root)).toEqual(files);
});

test("rule 30: where a compaction (ndjson) cannot give its messages their name, its new journal is not left behind", async () => {
  const { root, layer, store, let_go, is_held } = await with_held_compaction("ndjson", [message("a")]);
  await append_beside_compaction(store, is_held);
  let failed = 0;
  layer.hook = ({ name, path }) => {
    if (name === "rename" && path.endsWith("s.ndjson") && failed === 0) {
      failed += 1;
      throw system_error("EIO");
    }
  };
  let_go();
  await vi.waitUntil(() => failed === 1);
  await vi.waitFor(() => expect(tree(root).filter((name) => name.endsWith(".tmp"))).toEqual([]));
  expect((await loaded(new FileSessionStore(root))).messages.at(-1)).toEqual(message("c"));
});

test("rule 43: messages that have yet to get their name are not removed, though newer ones stand behind them", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { format: "ndjson" });
  const file = (ending: string) => join(root, `s${ending}`);
  await store.save("s", [message("one")]);
  const old = fs.readFileSync(file(".ndjson"));
  await append(store, ["two"]);
  await store.flush();
  const head = fs.readFileSync(file(".meta.json"));
  await append(store, ["three"]);
  await store.flush();
  fs.renameSync(file(".ndjson"), file(".ndjson.next"));
  fs.writeFileSync(file(".ndjson"), old);
  fs.writeFileSync(file(".meta.json"), head);
  await append(new FileSessionStore(root), ["new"]);
  expect(await texts_in(root)).toEqual(["one", "two", "new"]);
});
