import { seeded_random } from "../../support/random.js";
import { can_fail, FAULTS, type Extent, type Fault } from "../faults/kinds.js";
import { DEEDS, disturbed_manager, operations_of } from "../faults/manager-round.js";
import { disturbed, SEQUELS, undisturbed } from "../faults/round.js";
import { SCENARIOS } from "../faults/scenarios.js";
import type { Method, Outcome } from "../method.js";

/** Of the rounds that there are, `npm test` makes about so many. */
const SHORT = 300;
/** So many at a time: some of them wait now and then. */
const BATCH = 32;
const FORMATS = ["json", "ndjson"] as const;

/** A round, and what goes wrong in it; `undefined`: the fault did not happen. */
interface Case {
  name: string;
  run: () => Promise<string[] | undefined>;
}

interface Strike {
  fault: Fault;
  n: number;
  extent: Extent;
}

/** Every operation of the file system fails, in every way that it can, once and from then on. */
export const FAULTS_METHOD: Method = {
  name: "faults",

  async run({ full, seed }): Promise<Outcome> {
    const { below } = seeded_random(seed);
    const all = [...(await cases_of_store(seed)), ...(await cases_of_manager())];
    const chosen = full ? all : all.filter(() => below(all.length) < SHORT);
    const losses: string[] = [];
    let rounds = 0;
    for (let begin = 0; begin < chosen.length; begin += BATCH) {
      const batch = chosen.slice(begin, begin + BATCH);
      const found = await Promise.all(
        batch.map(async ({ name, run }) => ({ name, wrong: await run().catch((error: unknown) => [String(error)]) })),
      );
      for (const { name, wrong } of found) {
        rounds += wrong === undefined ? 0 : 1;
        losses.push(...(wrong ?? []).map((what) => `${name}: ${what}`));
      }
    }
    return { rounds, unit: "faults", losses };
  },
};

async function cases_of_store(seed: number): Promise<Case[]> {
  const all: Case[] = [];
  for (const scenario of SCENARIOS) {
    for (const format of FORMATS) {
      const course = await undisturbed({ scenario, format });
      for (const strike of strikes(course.operations)) {
        const sequel = SEQUELS[(all.length + seed) % SEQUELS.length] ?? "save"; // they take turns
        const run = () => disturbed({ scenario, format, sequel, ...strike }, course);
        all.push({ name: name_of(format, scenario.name, strike), run });
      }
    }
  }
  return all;
}

async function cases_of_manager(): Promise<Case[]> {
  const all: Case[] = [];
  for (const deed of DEEDS) {
    for (const format of FORMATS) {
      for (const strike of strikes(await operations_of(deed, format))) {
        all.push({
          name: name_of(format, `a manager, ${deed.name}`, strike),
          run: () => disturbed_manager({ deed, format, ...strike }),
        });
      }
    }
  }
  return all;
}

/** All that can go wrong in the course of these operations. */
function strikes(operations: readonly string[]): Strike[] {
  return operations.flatMap((name, index) =>
    FAULTS.filter((fault) => can_fail(fault, name)).flatMap((fault) =>
      (["once", "for ever"] as const).map((extent) => ({ fault, n: index + 1, extent })),
    ),
  );
}

function name_of(format: string, what: string, { fault, n, extent }: Strike): string {
  return `${format}, ${what}, ${fault.name} ${extent} at operation ${n}`;
}
