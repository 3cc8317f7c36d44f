import { describe, expect, test } from "vitest";
import type { Depth, Holdings } from "./crash-model.js";
import { enumerate } from "./enumerate.js";
import { look, thorough, type Verdict } from "./judge.js";
import { first_difference, ORDERS, sync_names, without_syncs, type Mutate } from "./mutations.js";
import { MemoryDisk } from "./memory-disk.js";
import { record } from "./record.js";
import { WindowsRecordingLayer } from "./recording-layer.js";
import { Starts } from "./recoveries.js";
import { recorded, recordings } from "./scenarios.js";

const ALL = recordings();
const SHALLOW: Depth = { changes: 3, fates: 3, samples: 1 };

test.each(ALL)("rule 31: after a crash at any moment of $name the session is the old or the new one", async (one) => {
  const recording = await recorded(one);
  const plan = { modes: ["strict", "ordered"] as const, depth: SHALLOW, seed: 1, judge: look };
  const { violations, distinct } = await enumerate(recording, plan);
  expect(distinct).toBeGreaterThan(20);
  expect(Object.fromEntries(violations)).toEqual({});
});

test.each(ALL.filter(({ name }) => name.startsWith("repair")))(
  "rule 36: whoever goes on where a $name was cut off finds that session and no other",
  async (one) => {
    const recording = await recorded(one);
    const starts = new Starts(recording);
    const on_new = (state: Holdings, verdict: Verdict) => starts.offer(state, verdict);
    const fresh = { ...recording, known: new Map<string, Verdict>() };
    await enumerate(fresh, { modes: ["strict"], depth: SHALLOW, seed: 1, judge: thorough(recording), on_new });
    const openers = starts.openers(Infinity, 0);
    expect(openers.length).toBeGreaterThan(10);
    for (const open of openers) {
      await open();
    }
  },
);

test.each(ALL)(
  "rule 45: as on Windows, after a kill at any moment of $name the session is the old or the new one",
  async (one) => {
    const recording = await record(
      one.scenario,
      one.options,
      new MemoryDisk(),
      (disk) => new WindowsRecordingLayer(disk),
    );
    const { violations, distinct } = await enumerate(recording, {
      modes: ["killed"],
      depth: SHALLOW,
      seed: 1,
      judge: look,
    });
    expect(distinct).toBeGreaterThan(5);
    expect(Object.fromEntries(violations)).toEqual({});
  },
);

/** Every sync that the scenarios contain: none is there for nothing. */
const SYNCS = [
  "datasync {id}.journal",
  "sync {id}.tmp, rename to {id}.json",
  "sync {id}.tmp, rename to {id}.meta.json",
  "sync {id}.tmp, rename to {id}.ndjson",
  "sync {id}.tmp, rename to {id}.ndjson.next",
  "sync {id}.tmp, rename to {id}.journal",
  "sync_directory after make directory",
  "sync_directory after rename to {id}.json",
  "sync_directory after rename to {id}.meta.json",
  "sync_directory after rename to {id}.ndjson",
  "sync_directory after rename to {id}.ndjson.next",
  "sync_directory after rename to {id}.journal",
  "sync_directory after rename to {id}.tmp", // the head of a session that is deleted
  "sync_directory after unlink {id}.tmp", // a damaged journal, moved away from its name first
  "sync_directory after make forks",
  "sync_directory after rename to forks/{id}.json",
  "sync_directory after rename to forks/{id}.ndjson",
  "sync_directory after unlink forks/{id}.json",
  "sync_directory after unlink forks/{id}.ndjson",
  "sync {id}.draft.tmp, rename to {id}.draft",
  "sync_directory after rename to {id}.draft",
  "sync_directory after unlink {id}.draft",
];

/** Syncs whose absence only means that something is done once more after a crash. */
const HARMLESS = [
  "sync {id}.draft.tmp, given up", // by a writer that died
  "sync {id}.tmp, given up", // a compaction that was needless in the end
  "sync_directory after link {id}.journal aside", // what is kept aside is for a person to look at
  "sync_directory after link {id}.json aside",
  "sync_directory after link {id}.ndjson aside",
  "sync_directory after create {id}.tmp", // before a change of parent: an outdated link costs nothing
  "sync_directory after place {id}.journal", // what another program has put there, it has synced in these scenarios
  "sync_directory after place {id}.json",
];

describe("the enumeration can see", () => {
  /** Where something is wrong only because of this. */
  async function violations_with(mutate: Mutate): Promise<string[]> {
    for (const one of ALL) {
      const recording = await recorded(one);
      const log = mutate(recording.log);
      if (log === undefined) {
        continue;
      }
      const is_kept_elsewhere = recording.keeps.length > 0;
      const { violations } = await enumerate(
        { ...recording, known: is_kept_elsewhere ? new Map<string, Verdict>() : recording.known },
        {
          modes: ["strict"],
          depth: SHALLOW,
          seed: 1,
          judge: is_kept_elsewhere ? thorough(recording) : look,
          mutated: { log, from: first_difference(log, recording.log) },
          stop_at_first: true,
        },
      );
      if (violations.size > 0) {
        return [...violations].map(([where, what]) => `${where}: ${what}`);
      }
    }
    return [];
  }

  test.each(["sync ", "datasync ", "sync_directory "])("rule 32: a store that never calls `%s` fails", async (kind) => {
    expect(await violations_with((log) => without_syncs(log, (name) => name.startsWith(kind)))).not.toEqual([]);
  });

  test.each(SYNCS)("rule 32: a store without `%s` fails", async (sync) => {
    expect(await violations_with((log) => without_syncs(log, (name) => name === sync))).not.toEqual([]);
  });

  test.each(ORDERS)("rule 31: a store fails where $name", async ({ mutate }) => {
    expect(await violations_with(mutate)).not.toEqual([]);
  });

  test("rule 32: there are no other syncs", async () => {
    const seen = new Set<string>();
    for (const one of ALL) {
      [...sync_names((await recorded(one)).log).values()].forEach((name) => seen.add(name));
    }
    expect([...seen].sort()).toEqual([...SYNCS, ...HARMLESS].sort());
  });
});
