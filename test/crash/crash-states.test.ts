import { describe, expect, test } from "vitest";
import { enumerate, type Enumeration } from "./enumerate.js";
import { type Scenario, SCENARIOS } from "./scenarios.js";

/** Scenarios as they are: each is gone through once. */
const known = new Map<Scenario, Promise<Enumeration>>();

function known_of(scenario: Scenario): Promise<Enumeration> {
  const result = known.get(scenario) ?? enumerate(scenario);
  known.set(scenario, result);
  return result;
}

test.each(SCENARIOS)(
  "rule 31: after a crash at any moment of $name ($format) the session is the old or the new one",
  async (scenario) => {
    const { violations, distinct } = await known_of(scenario);
    expect(distinct).toBeGreaterThan(20);
    expect(Object.fromEntries(violations)).toEqual({});
  },
);

/** Every sync that the scenarios contain: none is there for nothing. */
const SYNCS = [
  "sync {id}.tmp",
  "sync {id}.journal",
  "datasync {id}.journal",
  "sync_directory after make directory",
  "sync_directory after rename to {id}.json",
  "sync_directory after rename to {id}.meta.json",
  "sync_directory after rename to {id}.ndjson",
  "sync_directory after rename to {id}.ndjson.next",
  "sync_directory after create {id}.journal",
  "sync_directory after unlink {id}.json",
  "sync_directory after unlink {id}.meta.json",
  "sync_directory after unlink {id}.tmp", // a damaged journal, moved away from its name first
  "sync_directory after make forks",
  "sync_directory after rename to forks/{id}.json",
  "sync_directory after rename to forks/{id}.ndjson",
  "sync_directory after unlink forks/{id}.json",
  "sync_directory after unlink forks/{id}.ndjson",
];

/** Syncs whose absence only means that something is done once more after a crash. */
const HARMLESS = [
  "sync_directory after link {id}.journal aside", // what is kept aside is for a person to look at
  "sync_directory after link {id}.json aside",
  "sync_directory after link {id}.ndjson aside",
];

describe("the enumeration can see", () => {
  /** Where something is wrong only without the syncs that are dropped. */
  async function violations_without(drops: (label: string) => boolean): Promise<string[]> {
    for (const scenario of SCENARIOS) {
      const before = await known_of(scenario);
      if (![...before.sync_labels].some(drops)) {
        continue;
      }
      const is_new = (where: string) => !before.violations.has(where);
      const { violations } = await enumerate(scenario, { drops, stop_at: is_new });
      const found = [...violations.keys()].filter(is_new);
      if (found.length > 0) {
        return found;
      }
    }
    return [];
  }

  test.each(["sync ", "datasync ", "sync_directory "])("rule 32: a store that never calls `%s` fails", async (kind) => {
    expect(await violations_without((label) => label.startsWith(kind))).not.toEqual([]);
  });

  test.each(SYNCS)("rule 32: a store without `%s` fails", async (sync) => {
    expect(await violations_without((label) => label === sync)).not.toEqual([]);
  });

  test("rule 32: there are no other syncs", async () => {
    const seen = new Set<string>();
    for (const scenario of SCENARIOS) {
      (await known_of(scenario)).sync_labels.forEach((label) => seen.add(label));
    }
    expect([...seen].sort()).toEqual([...SYNCS, ...HARMLESS].sort());
  });
});
