import type { Depth } from "../crash-model.js";
import { enumerate, type Mode, type Plan } from "../enumerate.js";
import { thorough, type Verdict } from "../judge.js";
import type { Method, Outcome, Scale } from "../method.js";
import { with_other_reader, type OtherReader } from "../other-reader.js";
import type { Recording } from "../record.js";
import { Starts } from "../recoveries.js";
import { recorded, recordings } from "../scenarios.js";

const DEEP: Depth = { changes: 4, fates: 27, samples: 3 };
/** Where the files are long, each state takes ten times as long. */
const LONG_FILE = 60_000;
const SHALLOW: Depth = { changes: 2, fates: 3, samples: 1 };
/** Of so many scenarios, the short form looks at one. */
const SHORT_SHARE = 14;
/** So many crashed directories of a scenario are opened, and the opener crashed in turn. */
const RECOVERIES = { full: 3, short: 1 };

function depth_for({ live }: Recording): Depth {
  const is_long = [...live.nodes.values()].some((node) => node.kind === "file" && node.data.length > LONG_FILE);
  return is_long ? { ...SHALLOW, changes: 3 } : DEEP;
}

/** What came of many enumerations. */
class Tally {
  states = 0;
  distinct = 0;
  readonly losses: string[] = [];

  async add(recording: Recording, plan: Plan): Promise<void> {
    const { states, distinct, violations } = await enumerate(recording, plan);
    this.states += states;
    this.distinct += distinct;
    this.losses.push(...[...violations].map(([where, what]) => `${where}: ${what}`));
  }
}

/** Scenarios, the crashes of each, and the crashes of those who open what these leave. */
async function run({ full, seed }: Scale, durable: boolean, other_reader: OtherReader | undefined): Promise<Outcome> {
  const modes: Mode[] = durable ? ["strict", "ordered"] : ["killed"];
  const [scenarios, recoveries] = [new Tally(), new Tally()];
  const chosen = recordings(durable).filter((_, index) => full || index % SHORT_SHARE === seed % SHORT_SHARE);
  for (const [turn, one] of chosen.entries()) {
    const recording = await recorded(one);
    const starts = new Starts(recording);
    const judge = thorough({ ...recording, other_reader });
    const fresh = { ...recording, known: new Map<string, Verdict>() };
    const depth = full ? depth_for(recording) : SHALLOW;
    await scenarios.add(fresh, { modes, depth, seed, judge, on_new: (state, verdict) => starts.offer(state, verdict) });
    for (const next of await starts.recordings(full ? RECOVERIES.full : RECOVERIES.short, turn)) {
      await recoveries.add(next, { modes, depth: SHALLOW, seed, judge: thorough({ ...next, other_reader }) });
    }
  }
  const distinct = scenarios.distinct + recoveries.distinct;
  const asked =
    other_reader === undefined ? "no other reader" : `${other_reader.asked.toLocaleString("en")} read by Python too`;
  return {
    rounds: scenarios.states + recoveries.states,
    unit: "states",
    losses: [...scenarios.losses, ...recoveries.losses],
    note: `${distinct.toLocaleString("en")} distinct, ${recoveries.states.toLocaleString("en")} in recoveries, ${asked}`,
  };
}

/** A power cut before every operation, on devices that keep any part, or any beginning, of what was not synced. */
export const CRASH_STATES: Method = {
  name: "crash states",
  run: (scale) => with_other_reader((reader) => run(scale, true, reader)),
};

/** The death of the process in every operation, where nothing is synced: nothing that was written is lost. */
export const CRASH_STATES_NOT_DURABLE: Method = {
  name: "crash states, durable: false",
  run: (scale) => with_other_reader((reader) => run(scale, false, reader)),
};
