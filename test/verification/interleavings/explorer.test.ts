import { expect, test } from "vitest";
import { seeded_random } from "../../support/random.js";
import type { OpenFile } from "../../../src/stores/file/fs/file-layer.js";
import type { ActorLayer } from "./actor-layer.js";
import { CrashedOrder } from "./crashes.js";
import { Explorer } from "./explorer.js";
import type { Answer, Asked, Call, Session } from "./history.js";
import { is_linearizable } from "./linearize.js";
import { run_order, type Scenario } from "./run-order.js";
import { SCENARIOS } from "./scenarios.js";

function scenario(name: string): Scenario {
  const found = SCENARIOS.find((one) => one.name === name);
  if (found === undefined) {
    throw new Error(`there is no scenario ${name}`);
  }
  return found;
}

async function losses_of(name: string, spoil: (layer: ActorLayer) => void): Promise<string> {
  const explorer = new Explorer(scenario(name), "json", { spoil });
  for (const preemptions of [0, 1, 2]) {
    await explorer.explore(preemptions, () => explorer.followed > 200);
  }
  return explorer.losses.join();
}

/** A lock that everybody gets. */
function exclude_nobody(layer: ActorLayer): void {
  const symlink = layer.symlink.bind(layer);
  layer.symlink = async (target, path) => {
    if (await layer.stat(path)) {
      await layer.unlink(path);
    }
    await symlink(target, path);
  };
}

/** A journal that is not seen beside a snapshot. */
function hide_journals(layer: ActorLayer): void {
  const open = layer.open.bind(layer);
  layer.open = (path, how) => open(how === "read" && path.endsWith(".journal") ? `${path} hidden` : path, how);
}

/** A device that never gets anything. */
function drop_syncs(layer: ActorLayer): void {
  const open = layer.open.bind(layer);
  const never = async (opening: Promise<OpenFile>) => ({ ...(await opening), datasync: () => Promise.resolve() });
  layer.open = (path, how) => never(open(path, how));
}

test("rule 23: the explorer finds two appends at one revision where a lock excludes nobody", async () => {
  expect(await losses_of("append, append at the same revision", exclude_nobody)).toContain("in this order");
});

test("rule 34: the explorer finds a reader that overlooks the journal", async () => {
  expect(await losses_of("load, append", hide_journals)).toContain("in this order");
});

test("rule 32: a power cut in an order finds an append that was not synced", async () => {
  const order = new CrashedOrder(scenario("append, flush"), "json", [], seeded_random(1).next, { spoil: drop_syncs });
  await order.run(0.5);
  expect(order.rounds.cuts).toBeGreaterThan(0);
  expect(order.losses.join()).toContain("the power is cut");
});

test("rule 34: the explorer notices a store that does not follow from what it has seen", async () => {
  let count = 0;
  const moody = (layer: ActorLayer) => {
    const unlink = layer.unlink.bind(layer);
    layer.unlink = async (path) => {
      count += 1;
      await (count % 10 === 0 ? layer.stat(path) : undefined);
      await unlink(path);
    };
  };
  expect(await losses_of("save, append; the first is taken for gone", moody)).toContain("something else");
});

test("rule 34: most orders are recalled, and come to what they come to when they are run", async () => {
  const explorer = new Explorer(scenario("append, append at the same revision"), "json", { most: 3 });
  expect(await explorer.explore(3, () => false)).toBe(true);
  expect(explorer.losses).toEqual([]);
  expect(explorer.runs).toBeLessThan(explorer.followed / 2);
});

test("rule 34: an order that is run again is the same", async () => {
  const traces: string[] = [];
  let prefix: number[] = [];
  for (let n = 0; n < 3; n += 1) {
    const { order } = await run_order(scenario("append and a fold beside it, append"), "ndjson", { prefix });
    prefix = order.choices;
    traces.push(order.trace.map((step) => step()).join("\n"));
  }
  expect(traces[1]).toBe(traces[0]);
  expect(traces[2]).toBe(traces[0]);
});

const START: Session = { texts: ["one"], label: undefined, revision: "r1" };
const AFTER: Session = { texts: ["one", "two"], label: undefined, revision: "r2" };

function call(began: number, ended: number | undefined, asked: Asked, answer?: Answer): Call {
  const is_answered = ended !== undefined && answer !== undefined;
  return { actor: 0, id: "s", asked, began, ...(is_answered && { ended, answer }) };
}

const append_two = (began: number, ended?: number, revision = "r2"): Call =>
  call(began, ended, { kind: "append", revision: "r1", texts: ["two"] }, { kind: "revision", revision });
const refused = (began: number, ended: number, code = "conflict"): Call =>
  call(
    began,
    ended,
    { kind: "append", revision: "r1", texts: ["x"] },
    { kind: "failed", code, reason: `SessionError: ${code}` },
  );
const load = (began: number, ended: number, session: Session | undefined): Call =>
  call(began, ended, { kind: "load" }, { kind: "session", session });

test.each<[string, Call[], boolean]>([
  ["a reader that comes later sees it", [append_two(1, 2), load(3, 4, AFTER)], true],
  ["a reader that comes later does not see it", [append_two(1, 2), load(3, 4, START)], false],
  ["a reader that is there meanwhile need not see it", [append_two(1, 4), load(2, 3, START)], true],
  ["a reader that saw it does not see it again", [append_two(1, 8), load(2, 3, AFTER), load(4, 5, START)], false],
  ["two appends at one revision", [append_two(1, 4), append_two(2, 3, "r3")], false],
  ["one of two is refused", [append_two(1, 4), refused(2, 3)], true],
  ["the only one is refused", [refused(2, 3)], false],
  ["a session that is there is not found", [refused(2, 3, "not_found")], false],
  ["what was never answered has happened", [append_two(1), load(3, 4, AFTER)], true],
  ["what was never answered has not happened", [append_two(1), load(3, 4, START)], true],
  ["what was never answered was seen and is gone", [append_two(1), load(3, 4, AFTER), load(5, 6, START)], false],
  ["nothing is there any more", [load(1, 2, undefined)], false],
])("rule 23: histories are judged: %s", (_, calls, expected) => {
  expect(is_linearizable(new Map([["s", START]]), calls, { locks_are_broken: false })).toBe(expected);
});
