/**
 * Brings known faults of the manager back, one at a time, in a copy of the project, and prints a table of what found
 * them. Exits with 1 where a fault is not found, or its text is no longer in the source.
 *
 * Usage: npm run test:mutations -- [--only NAME]
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { MutatedProject } from "./mutated-project.js";
import { SOURCE_MUTATIONS, type SourceMutation } from "./mutations.js";

interface Outcome {
  is_found: boolean;
  /** In how many sequences or tests. */
  after: string;
  note?: string;
}

const { values: options } = parseArgs({ options: { only: { type: "string", multiple: true, default: [] } } });
const unknown = options.only.filter((name) => !SOURCE_MUTATIONS.some((mutation) => mutation.name === name));
if (unknown.length > 0) {
  throw new Error(
    `there is no ${unknown.join(", ")}; there are ${SOURCE_MUTATIONS.map(({ name }) => name).join(", ")}`,
  );
}
const is_chosen = ({ name }: SourceMutation) => options.only.length === 0 || options.only.includes(name);
const mutations = SOURCE_MUTATIONS.filter(is_chosen);

/** Without a mutation nothing may be found. Otherwise a finding says nothing about the fault. */
async function check_unchanged(project: MutatedProject): Promise<void> {
  const files = mutations.flatMap(({ found_by }) => (found_by === "fuzzer" ? [] : [found_by.file]));
  const { failed } = files.length === 0 ? { failed: [] } : await project.test([...new Set(files)]);
  const is_searched = mutations.some(({ found_by }) => found_by === "fuzzer");
  const { kinds } = is_searched ? await project.search() : { kinds: [] };
  if (failed.length > 0 || kinds.length > 0) {
    throw new Error(`without a mutation there is already: ${[...failed, ...kinds].join("; ")}`);
  }
}

async function check(project: MutatedProject, { found_by }: SourceMutation): Promise<Outcome> {
  if (found_by === "fuzzer") {
    const { kinds, sequences } = await project.search();
    return { is_found: kinds.length > 0, after: `${sequences.toLocaleString("en")} sequences`, note: kinds.join(", ") };
  }
  const { passed, failed } = await project.test([found_by.file], found_by.test);
  return { is_found: failed.length > 0, after: `${passed + failed.length} tests`, note: `${failed.length} failed` };
}

const name_of = ({ found_by }: SourceMutation) => (found_by === "fuzzer" ? found_by : found_by.file);

const rows = [["mutation", "found by", "after", "seconds", ""]];
const project = await MutatedProject.create();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => void project.remove().then(() => process.exit(1)));
}
try {
  console.error("no mutation …");
  await check_unchanged(project);
  for (const mutation of mutations) {
    console.error(`${mutation.name} …`);
    const began = performance.now();
    const outcome = await project
      .with_mutation(mutation, () => check(project, mutation))
      .catch((error: unknown): Outcome => ({ is_found: false, after: "", note: String(error) }));
    const { is_found, after, note = "" } = outcome;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    rows.push([mutation.name, name_of(mutation), after, seconds, is_found ? note : `NOT FOUND ${note}`.trimEnd()]);
    if (!is_found) {
      process.exitCode = 1;
    }
  }
} finally {
  await project.remove();
}

const widths = (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => (row[column] ?? "").length)));
const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
const [head = [], ...body] = rows;
console.log([line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n"));
