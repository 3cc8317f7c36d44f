import fc from "fast-check";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { in_proportion, make_rounds } from "../budget.js";
import { ACTIONS, MANAGER_OPTIONS } from "../model/manager-actions.js";
import { run_manager } from "../model/manager-run.js";
import { COMMANDS } from "../model/store-commands.js";
import { StoreRun, type Open } from "../model/store-run.js";
import type { Method, Outcome, Scale } from "../method.js";

const FORMATS = ["json", "ndjson"] as const;

type Found = Pick<Outcome, "rounds" | "losses">;

/** Random sequences of store calls and crashes; stops at the first that goes wrong, made as small as it gets. */
export async function check_stores(
  format: FileSessionFormat,
  parameters: fc.Parameters<[never]>,
  open_store?: Open,
): Promise<Found> {
  const property = fc.asyncProperty(COMMANDS, (commands) => new StoreRun(format, open_store).run(commands));
  return check(`store ${format}`, () => fc.check(property, parameters as object));
}

/** The same with what a user does to a manager. */
export async function check_managers(
  format: FileSessionFormat,
  parameters: fc.Parameters<[never]>,
  open_store?: Open,
): Promise<Found> {
  const property = fc.asyncProperty(ACTIONS, MANAGER_OPTIONS, (actions, options) =>
    run_manager(format, actions, options, open_store),
  );
  return check(`manager ${format}`, () => fc.check(property, parameters as object));
}

async function check<T>(name: string, run: () => Promise<fc.RunDetails<T>>): Promise<Found> {
  const details = await without_stacks(run);
  return { rounds: details.numRuns, losses: details.failed ? [loss_of(name, details)] : [] };
}

/** What was found, and how to see it again. */
function loss_of<T>(name: string, details: fc.RunDetails<T>): string {
  const { errorInstance: error } = details;
  const reason = error instanceof Error ? error.message : String(error);
  const again = `npx tsx test/verification/model/replay.ts "${name}" ${details.seed} ${details.counterexamplePath}`;
  return `${name}: ${reason}\n    after ${JSON.stringify(details.counterexample)}\n    again: ${again}`;
}

/** That a file is not there is an error, and its stack would cost a quarter of the time. */
async function without_stacks<T>(task: () => Promise<T>): Promise<T> {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return await task();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** How many sequences in each format, and how many of them are one round. */
interface Counts {
  sequences: number;
  at_a_time: number;
}

/** Each round has random numbers of its own; a format in which something went wrong is left. */
async function in_both_formats(
  { until, seed }: Scale,
  { sequences, at_a_time }: Counts,
  find: (format: FileSessionFormat, parameters: fc.Parameters<[never]>) => Promise<Found>,
): Promise<Outcome> {
  const losses = new Map<FileSessionFormat, string[]>();
  let rounds = 0;
  const kinds = FORMATS.map((format) =>
    Array.from({ length: Math.ceil(sequences / at_a_time) }, (_, n) => ({ format, seed: seed * 1000 + n })),
  );
  const { planned } = await make_rounds(
    in_proportion(kinds),
    { until, least: kinds.length },
    async ({ format, seed }) => {
      if (!losses.has(format)) {
        const found = await find(format, { seed, numRuns: at_a_time });
        rounds += found.rounds;
        if (found.losses.length > 0) {
          losses.set(format, found.losses);
        }
      }
    },
  );
  const progress = { done: rounds, planned: planned * at_a_time };
  return { rounds, unit: "sequences", progress, losses: [...losses.values()].flat() };
}

/** A file store, with crashes, against the one in memory. */
export const STORE_MODEL: Method = {
  name: "model-store",
  run: (scale) =>
    in_both_formats(
      scale,
      scale.full ? { sequences: 5000, at_a_time: 50 } : { sequences: 60, at_a_time: 60 },
      check_stores,
    ),
};

/** A manager over files against one over the store in memory. */
export const MANAGER_MODEL: Method = {
  name: "model-manager",
  run: (scale) =>
    in_both_formats(
      scale,
      scale.full ? { sequences: 1000, at_a_time: 25 } : { sequences: 30, at_a_time: 30 },
      check_managers,
    ),
};
