import { seeded_random } from "../../support/random.js";
import { GONE, links_on } from "./contents.js";
import { type Depth, type Holdings, StrictDevice } from "./crash-model.js";
import type { Judge, Verdict } from "./judge.js";
import { OrderedDevice } from "./ordered-device.js";
import { Acknowledged, type Allowed, type Recording } from "./record.js";
import type { LogEntry } from "./logged-disk.js";

/** How a device treats what was not synced, or that only the process dies and nothing written is lost. */
export type Mode = "strict" | "ordered" | "killed";

export interface Plan {
  modes: readonly Mode[];
  depth: Depth;
  seed: number;
  /** Asked once for every state that differs from those before. */
  judge: Judge;
  /** The log with something changed; and from where on it is. */
  mutated?: { log: readonly LogEntry[]; from: number };
  stop_at_first?: boolean;
  /** Only moments whose number leaves this remainder, so that a few passes look at all of them. */
  moments?: { every: number; remainder: number };
  /** Called for every state that differs from those before. */
  on_new?: (state: Holdings, verdict: Verdict, allowed: Allowed) => void;
}

export interface Enumeration {
  /** How many states were looked at, and how many of them differ from each other. */
  states: number;
  distinct: number;
  /** Where a crash leaves what must not be, and what that is. */
  violations: Map<string, string>;
}

interface Case {
  state: Holdings;
  key: string;
  allowed: Allowed;
}

/** States that are judged at a time. Some wait for a clock. */
const BATCH = 64;

/** Crashes before every operation of a recording, and after the last one. */
export async function enumerate(recording: Recording, plan: Plan): Promise<Enumeration> {
  const result: Enumeration = { states: 0, distinct: 0, violations: new Map() };
  const seen = new Set<string>();
  let cases: Case[] = [];
  let unknown = new Set<string>();
  const finish = async (): Promise<boolean> => {
    await judge_all(recording, cases, plan);
    cases.forEach((one) => check(recording, one, result));
    [cases, unknown] = [[], new Set()];
    return plan.stop_at_first === true && result.violations.size > 0;
  };
  for (const { state, allowed } of states_of(recording, plan)) {
    const key = state.key();
    result.states += 1;
    seen.add(key);
    cases.push({ state, key, allowed });
    if (!recording.known.has(key)) {
      unknown.add(key);
    }
    if ((unknown.size >= BATCH || cases.length > 100 * BATCH) && (await finish())) {
      break;
    }
  }
  await finish();
  result.distinct = seen.size;
  return result;
}

function* states_of(
  recording: Recording,
  { modes, depth, seed, mutated, moments = { every: 1, remainder: 0 } }: Plan,
): Generator<{ state: Holdings; allowed: Allowed }> {
  const { initial, log: original, options } = recording;
  const { log, from } = mutated ?? { log: original, from: 0 };
  const { next: number } = seeded_random(seed);
  const [strict, ordered] = [new StrictDevice(initial), new OrderedDevice(initial)];
  const acknowledged = new Acknowledged(recording);
  let moment = -1;
  for (let at = 0; at <= log.length; at += 1) {
    const next = log[at];
    const is_mark = next?.kind === "begin" || next?.kind === "end";
    const [last] = log.slice(Math.max(0, at - 1), at);
    // Between marks nothing happens: one look before the first of them, and one behind the last.
    const is_moment = at >= from && !(is_mark && last?.kind === next.kind);
    moment += is_moment ? 1 : 0;
    if (is_moment && moment % moments.every === moments.remainder) {
      const allowed = acknowledged.allowed(next);
      for (const mode of modes) {
        const states = {
          strict: () => strict.states(number, depth),
          ordered: () => ordered.states(),
          killed: () => ordered.killed(next),
        }[mode]();
        for (const state of states) {
          yield { state, allowed: { ...allowed, where: `${options.format}, ${mode}, ${allowed.where}` } };
        }
      }
    }
    if (next !== undefined) {
      strict.advance(next);
      ordered.advance(next);
      acknowledged.advance(next);
    }
  }
}

async function judge_all(recording: Recording, cases: readonly Case[], { judge, on_new }: Plan): Promise<void> {
  const { known, live } = recording;
  const unknown = new Map(cases.filter(({ key }) => !known.has(key)).map((one) => [one.key, one]));
  await Promise.all(
    Array.from(unknown, async ([key, { state, allowed }]) => {
      const verdict = await judge(state.disk(live));
      known.set(key, verdict);
      on_new?.(state, verdict, allowed);
    }),
  );
}

function check(recording: Recording, { state, key, allowed }: Case, { violations }: Enumeration): void {
  const { found, problem, lacks } = recording.known.get(key) as Verdict;
  const where = `${recording.name}, ${allowed.where}`;
  if (problem !== undefined) {
    violations.set(where, problem);
  }
  const lost = lacks.filter((text) => allowed.kept.has(text));
  if (lost.length > 0) {
    violations.set(where, `nowhere is ${lost.join()}`);
  }
  for (const id of new Set([...allowed.contents.keys(), ...found.keys()])) {
    const content = found.get(id) ?? GONE;
    if (!(allowed.contents.get(id) ?? new Set([GONE])).has(content)) {
      violations.set(where, `${id}: ${content.slice(0, 300)}`);
    }
  }
  if (allowed.links !== undefined) {
    const links = links_on(state.disk(recording.live));
    if (links !== allowed.links) {
      violations.set(where, `the links are [${links}], not [${allowed.links}]`);
    }
  }
}
