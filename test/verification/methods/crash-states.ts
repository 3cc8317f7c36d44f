import { in_proportion, make_rounds, part_of, reordered, sum_of } from "../budget.js";
import type { Depth } from "../crash-states/crash-model.js";
import { enumerate, type Mode, type Plan } from "../crash-states/enumerate.js";
import { thorough, type Verdict } from "../crash-states/judge.js";
import type { Method, Outcome, Scale } from "../method.js";
import { with_other_reader, type OtherReader } from "../crash-states/other-reader.js";
import type { Recording } from "../crash-states/record.js";
import { KINDS_OF_OPENERS, Starts } from "../crash-states/recoveries.js";
import { recorded, recordings } from "../crash-states/scenarios.js";

const DEEP: Depth = { changes: 4, fates: 27, samples: 3 };
/** Where the files are long, each state takes ten times as long. */
const LONG_FILE = 60_000;
const SHALLOW: Depth = { changes: 2, fates: 3, samples: 1 };
/** Of so many scenarios, the short form looks at one. */
const SHORT_SHARE = 14;
/** So many crashed directories of a scenario are opened, and the opener crashed in turn. */
const RECOVERIES = { full: 3, short: 1 };
/** So many passes over a scenario look at all its moments, each pass at others. */
const PASSES = 12;
/** Of the time, so much is for the scenarios; what is left is for the recoveries. */
const SCENARIOS_FIRST = 0.7;

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
    const before = recording.known.size;
    const { states, violations } = await enumerate(recording, plan);
    this.states += states;
    this.distinct += recording.known.size - before;
    this.losses.push(...[...violations].map(([where, what]) => `${where}: ${what}`));
  }
}

/** A scenario, and the states of it from which the next opener is to go on. */
interface Subject {
  recording: Recording;
  starts: Starts;
}

async function subject_of(one: ReturnType<typeof recordings>[number]): Promise<Subject> {
  const recording = { ...(await recorded(one)), known: new Map<string, Verdict>() };
  return { recording, starts: new Starts(recording) };
}

/** Scenarios, the crashes of each, and the crashes of those who open what these leave. */
async function run(scale: Scale, durable: boolean, other_reader: OtherReader | undefined): Promise<Outcome> {
  const { full, seed } = scale;
  const modes: Mode[] = durable ? ["strict", "ordered"] : ["killed"];
  const [scenarios, recoveries] = [new Tally(), new Tally()];
  const chosen = recordings(durable).filter((_, index) => full || index % SHORT_SHARE === seed % SHORT_SHARE);
  const subjects: Subject[] = [];
  for (const one of reordered(chosen, seed)) {
    subjects.push(await subject_of(one));
  }
  const passes = reordered(Array(full ? PASSES : 1).keys(), seed).flatMap((remainder, _, { length: every }) =>
    subjects.map((subject) => ({ ...subject, moments: { every, remainder } })),
  );
  const budget = { ...part_of(scale, SCENARIOS_FIRST), least: subjects.length };
  const passed = await make_rounds(passes, budget, ({ recording, starts, moments }) =>
    scenarios.add(recording, {
      modes,
      depth: full ? depth_for(recording) : SHALLOW,
      seed: seed * PASSES + moments.remainder,
      moments,
      judge: thorough({ ...recording, other_reader }),
      on_new: (state, verdict) => starts.offer(state, verdict),
    }),
  );
  const openers = in_proportion(
    subjects.map(({ starts }, turn) => starts.openers(full ? RECOVERIES.full : RECOVERIES.short, turn)),
  );
  const opened = await make_rounds(openers, { until: scale.until, least: KINDS_OF_OPENERS }, async (open) => {
    const recording = await open();
    const judge = thorough({ ...recording, other_reader });
    await recoveries.add(recording, { modes, depth: SHALLOW, seed, judge });
  });
  const distinct = scenarios.distinct + recoveries.distinct;
  const asked =
    other_reader === undefined ? "no other reader" : `${other_reader.asked.toLocaleString("en")} read by Python too`;
  return {
    rounds: scenarios.states + recoveries.states,
    unit: "states",
    progress: sum_of([passed, opened], "passes"),
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
