import { expect, test } from "vitest";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import type { ActorLayer } from "./actor-layer.js";
import { Explorer, type Settings } from "./explorer.js";
import { found_in } from "./found.js";
import { run_order } from "./run-order.js";
import { SCENARIOS } from "./scenarios.js";

/** Takes down what orders come to, and lets nobody judge it. */
class Collected extends Set<string> {
  override has(found: string): boolean {
    this.add(found);
    return true;
  }

  /** What was answered and left, whatever was answered before what. */
  get states(): string[] {
    return [...new Set([...this].map((found) => found.split(" ")[0] ?? ""))].sort();
  }
}

function scenario_of(name: string) {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario === undefined) {
    throw new Error(`there is no scenario ${name}`);
  }
  return scenario;
}

async function explored(
  name: string,
  format: FileSessionFormat,
  preemptions: number,
  options: Settings,
): Promise<{ states: string[]; found: string[]; orders: number }> {
  const judged = new Collected();
  const explorer = new Explorer(scenario_of(name), format, { ...options, judged });
  expect(await explorer.explore(preemptions, () => false)).toBe(true);
  return { states: judged.states, found: [...judged].sort(), orders: explorer.followed };
}

/** Nobody waits for a lock: whoever finds one puts its own in its place. */
function exclude_nobody(layer: ActorLayer): void {
  const symlink = layer.symlink.bind(layer);
  layer.symlink = async (target, path) => {
    if (await layer.stat(path)) {
      await layer.unlink(path).catch(() => undefined);
    }
    await symlink(target, path);
  };
}

test.each<[string, FileSessionFormat, number, ((layer: ActorLayer) => void)?]>([
  ["append, append at the same revision", "json", 1],
  ["load, append", "ndjson", 1],
  ["append, append, load", "json", 1],
  ["append and a fold beside it, flush", "ndjson", 1],
  ["append, append; the first is taken for gone", "json", 1],
  ["append, append; the first is taken for silent", "ndjson", 1],
  ["append, append at the same revision", "ndjson", 1, exclude_nobody],
  ["save, append", "json", 2, exclude_nobody],
])(
  "rule 34: orders that are left out come to nothing that others do not: %s, %s, %d interruptions",
  { timeout: 60_000 },
  async (name, format, preemptions, spoil) => {
    const options = spoil === undefined ? {} : { spoil };
    const reduced = await explored(name, format, preemptions, { ...options, in_full: false });
    const full = await explored(name, format, preemptions, { ...options, in_full: true });
    expect(reduced.states).toEqual(full.states);
    expect(reduced.states.length).toBeGreaterThan(1);
    expect(reduced.orders).toBeLessThan(full.orders);
  },
);

test.each<[string, FileSessionFormat, ((layer: ActorLayer) => void)?]>([
  ["append, append; the first is taken for gone", "ndjson"],
  ["save, append; the first is taken for gone", "json"],
  ["append, append at the same revision", "json", exclude_nobody],
])(
  "rule 34: orders that are recalled come to what they come to when they are run: %s, %s",
  { timeout: 60_000 },
  async (name, format, spoil) => {
    const options = spoil === undefined ? {} : { spoil };
    const recalled = await explored(name, format, 2, options);
    const run = await explored(name, format, 2, { ...options, is_recalled: false });
    expect(recalled).toEqual(run);
  },
);

test("rule 34: an order that is run again leaves the same bytes", async () => {
  const found = [];
  for (let n = 0; n < 2; n += 1) {
    const { world } = await run_order(scenario_of("append and a fold beside it, append"), "json", { prefix: [] });
    found.push(found_in({ ...world, disk: world.disk.disk }));
  }
  expect(found[1]).toEqual(found[0]);
});
