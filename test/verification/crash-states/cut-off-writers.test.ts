import { getEnvironmentData } from "node:worker_threads";
import { expect, test } from "vitest";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { system_error } from "../../stores/file/hooked-layer.js";
import { hold_compaction, WRITTEN } from "./compaction-scenarios.js";
import { enumerate } from "./enumerate.js";
import { thorough } from "./judge.js";
import { record, type Step, type World } from "./record.js";
import { append, message, save } from "./steps.js";

/*
 * A writer is cut off between a rename and the sync of the directory, and another one goes on: what that one renames may
 * then reach the device before what the first one did.
 */

/** What putting a compaction in place is made of; the journal only where something was appended meanwhile. */
const JOURNAL = ["create {id}.tmp", "rename to {id}.journal", "sync_directory after rename to {id}.journal"];
const COMPACTION = {
  json: ["rename to {id}.tmp", "rename to {id}.json", "sync_directory after rename to {id}.json"],
  ndjson: [
    "rename to {id}.tmp",
    "rename to {id}.ndjson.next",
    "sync_directory after rename to {id}.ndjson.next",
    "create {id}.tmp",
    "rename to {id}.meta.json",
    "sync_directory after rename to {id}.meta.json",
    "rename to {id}.ndjson",
  ],
};
/** Synced each on its own. */
const RENAMES = {
  json: ["rename to {id}.json", "rename to {id}.journal"],
  ndjson: ["rename to {id}.ndjson.next", "rename to {id}.meta.json", "rename to {id}.journal"],
};

const append_elsewhere: Step = async ({ other }) =>
  other.append("s", [message("c")], { revision: (await other.load("s"))?.revision ?? "" });
const save_elsewhere: Step = ({ other }) => other.save("s", [message("c")]);

const NEXT: Step[] = [append_elsewhere, save_elsewhere, ({ other }) => other.update("s", { label: "Z" })];

/** The locks of this process are those of a dead one. */
function die(): void {
  const held = getEnvironmentData("@simulacra-ai/session held locks") as unknown as Set<string>;
  held.clear();
}

/** A compaction has written its snapshot, and goes on when it is let go. */
async function written_compaction(world: World, tail: boolean): Promise<() => void> {
  const let_go = await hold_compaction(world, WRITTEN);
  if (tail) {
    await append("b")(world);
  }
  return let_go;
}

async function violations_of(format: FileSessionFormat, steps: Step[]): Promise<Record<string, string>> {
  const recording = await record({ name: "cut off", steps: () => steps }, { format });
  const depth = { changes: 4, fates: 1, samples: 1 };
  const { violations } = await enumerate(recording, { modes: ["strict"], depth, seed: 1, judge: thorough(recording) });
  return Object.fromEntries(violations);
}

const DEATHS = (["json", "ndjson"] as const).flatMap((format) =>
  [true, false].flatMap((tail) => {
    const last = format === "ndjson" ? ["sync_directory after rename to {id}.ndjson"] : [];
    return [...COMPACTION[format], ...(tail ? JOURNAL : last)].map((before) => ({ format, before, tail }));
  }),
);

test.each(DEATHS)(
  "rule 31: who compacts dies before '$before' ($format, behind appends: $tail), and another process goes on",
  async ({ format, before, tail }) => {
    const compaction: Step = async (world) => {
      const let_go = await written_compaction(world, tail);
      const end = world.layer.hold(before);
      let_go();
      await end.reached;
      die();
    };
    for (const next of JOURNAL.includes(before) ? NEXT : [tail ? append_elsewhere : save_elsewhere]) {
      expect(await violations_of(format, [save("a"), compaction, next])).toEqual({});
    }
  },
);

/** The sync of the directory behind this rename fails, once. */
function fail_sync(world: World, behind: string): () => boolean {
  const { layer } = world;
  const sync_directory = layer.sync_directory.bind(layer);
  let has_failed = false;
  layer.sync_directory = async (path) => {
    const last = layer.log.findLast(({ kind, label }) => kind === "entries" && !/lock|tmp/.test(label));
    if (!has_failed && last?.label === behind) {
      has_failed = true;
      throw system_error("EIO");
    }
    return sync_directory(path);
  };
  return () => has_failed;
}

const FAILURES = (["json", "ndjson"] as const).flatMap((format) =>
  RENAMES[format].map((behind) => ({ format, behind })),
);

test.each(FAILURES)(
  "rule 31: a compaction fails behind '$behind' ($format), and another process goes on",
  async ({ format, behind }) => {
    for (const next of NEXT) {
      let has_failed = () => false;
      const compaction: Step = async (world) => {
        const let_go = await written_compaction(world, true);
        has_failed = fail_sync(world, behind);
        let_go();
        await world.layer.quiet();
      };
      expect(await violations_of(format, [save("a"), compaction, next])).toEqual({});
      expect(has_failed()).toBe(true);
    }
  },
);

test("rule 31: a save of ndjson dies before its last sync, and another process saves", async () => {
  const saved: Step = async (world) => {
    const end = world.layer.hold("sync_directory after rename to {id}.ndjson");
    world.by_others();
    void save("b")(world);
    await end.reached;
    die();
  };
  expect(await violations_of("ndjson", [save("a"), saved, save_elsewhere])).toEqual({});
});

test.each([
  ["the same", ({ store }: World) => store.save("s", [message("c")])],
  ["another", save_elsewhere],
])("rule 31: the last sync of a save of ndjson fails, and %s process saves", async (_, next) => {
  let has_failed = () => false;
  const saved: Step = async (world) => {
    has_failed = fail_sync(world, "rename to {id}.ndjson");
    world.by_others();
    await expect(save("b")(world)).rejects.toMatchObject({ code: "storage" });
  };
  expect(await violations_of("ndjson", [save("a"), saved, next])).toEqual({});
  expect(has_failed()).toBe(true);
});
