import fc from "fast-check";
import type { FileSessionFormat } from "../../../src/stores/file/snapshot-form.js";
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
  const again = `npx tsx test/crash/model/replay.ts "${name}" ${details.seed} ${details.counterexamplePath}`;
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

async function in_both_formats(find: (format: FileSessionFormat) => Promise<Found>): Promise<Outcome> {
  const found: Found[] = [];
  for (const format of FORMATS) {
    found.push(await find(format));
  }
  const rounds = found.reduce((sum, one) => sum + one.rounds, 0);
  return { rounds, unit: "sequences", losses: found.flatMap(({ losses }) => losses) };
}

/** A file store, with crashes, against the one in memory. */
export const STORE_MODEL: Method = {
  name: "model-store",
  run: ({ full, seed }: Scale) =>
    in_both_formats((format) => check_stores(format, { seed, numRuns: full ? 5000 : 60 })),
};

/** A manager over files against one over the store in memory. */
export const MANAGER_MODEL: Method = {
  name: "model-manager",
  run: ({ full, seed }: Scale) =>
    in_both_formats((format) => check_managers(format, { seed, numRuns: full ? 1000 : 30 })),
};
