import { seeded_random } from "../../support/random.js";
import { in_proportion, make_rounds, reordered } from "../budget.js";
import { can_fail, FAULTS, type Extent, type Fault } from "../faults/kinds.js";
import { DEEDS, disturbed_manager, operations_of } from "../faults/manager-round.js";
import { disturbed, SEQUELS, undisturbed } from "../faults/round.js";
import { SCENARIOS } from "../faults/scenarios.js";
import type { Method, Outcome } from "../method.js";

/** Of the rounds that there are, `npm run test:verification` makes about so many. */
const SHORT = 300;
/** So many at a time: some of them wait now and then. */
const LANES = 32;
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

  async run({ full, seed, until }): Promise<Outcome> {
    const { below } = seeded_random(seed);
    const all = [...(await cases_of_store(seed)), ...(await cases_of_manager())];
    const count = all.reduce((sum, { length }) => sum + length, 0);
    const kinds = full
      ? all.map((cases) => reordered(cases, seed))
      : all.map((cases) => cases.filter(() => below(count) < SHORT)).filter(({ length }) => length > 0);
    const losses: string[] = [];
    let rounds = 0;
    const limits = { until, least: kinds.length, lanes: LANES };
    const progress = await make_rounds(in_proportion(kinds), limits, async ({ name, run }) => {
      const wrong = await run().catch((error: unknown) => [String(error)]);
      rounds += wrong === undefined ? 0 : 1;
      losses.push(...(wrong ?? []).map((what) => `${name}: ${what}`));
    });
    return { rounds, unit: "faults", progress, losses };
  },
};

/** One list for each scenario in each format. */
async function cases_of_store(seed: number): Promise<Case[][]> {
  const all: Case[][] = [];
  let count = 0;
  for (const scenario of SCENARIOS) {
    for (const format of FORMATS) {
      const course = await undisturbed({ scenario, format });
      const cases = strikes(course.operations).map((strike, n) => {
        const sequel = SEQUELS[(count + n + seed) % SEQUELS.length] ?? "save"; // they take turns
        const run = () => disturbed({ scenario, format, sequel, ...strike }, course);
        return { name: name_of(format, scenario.name, strike), run };
      });
      count += cases.length;
      all.push(cases);
    }
  }
  return all;
}

async function cases_of_manager(): Promise<Case[][]> {
  const all: Case[][] = [];
  for (const deed of DEEDS) {
    for (const format of FORMATS) {
      const cases = strikes(await operations_of(deed, format)).map((strike) => ({
        name: name_of(format, `a manager, ${deed.name}`, strike),
        run: () => disturbed_manager({ deed, format, ...strike }),
      }));
      all.push(cases);
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
