/**
 * Measures what the README says of speed: ratios, each of two things done in turns in one run.
 *
 * Usage: npm run bench -- [--only NAME] [--format json|ndjson] [--backend NAME] [--quick] [--check]
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import type { FileSessionFormat } from "@simulacra-ai/session";
import { APPEND } from "./append.js";
import { AT_REST } from "./at-rest.js";
import { AUTO_SAVE } from "./auto-save.js";
import { BACKEND_NAMES, BACKENDS } from "./backends/backends.js";
import { DRAFTS } from "./drafts.js";
import { FOLD } from "./fold.js";
import { clean_up_all, print_table, type Figure } from "./harness.js";
import { LIST } from "./list.js";
import { LOAD } from "./load.js";
import { MANY } from "./many.js";
import { MEMORY } from "./memory.js";
import { TURN } from "./turn.js";

const SUBJECTS = [AUTO_SAVE, TURN, DRAFTS, APPEND, AT_REST, LIST, MANY, LOAD, FOLD, MEMORY, BACKENDS];
const NAMES = SUBJECTS.map(({ name }) => name);
const FORMATS: readonly FileSessionFormat[] = ["json", "ndjson"];

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: NAMES },
    format: { type: "string", multiple: true, default: [...FORMATS] },
    backend: { type: "string", multiple: true, default: [...BACKEND_NAMES] },
    quick: { type: "boolean", default: false },
    /** Exit with 1 where a bound is missed. */
    check: { type: "boolean", default: false },
  },
});
const subjects = SUBJECTS.filter(({ name }) => options.only.includes(name));
const formats = FORMATS.filter((format) => options.format.includes(format));
require_known(options.only, NAMES);
require_known(options.format, FORMATS);
require_known(options.backend, BACKEND_NAMES);

process.on("SIGINT", () => void clean_up_all().finally(() => process.exit(130)));
const figures: Figure[] = [];
for (const subject of subjects) {
  console.error(`measuring ${subject.name} …`);
  figures.push(...(await subject.measure({ quick: options.quick, formats, backends: options.backend })));
}
console.log(`Node ${process.version}, ${process.platform}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}\n`);
print_table(figures);
const missed = figures.filter(({ holds }) => holds === false);
if (options.check && missed.length > 0) {
  console.error(`\nmissed: ${missed.map(({ what }) => what).join("; ")}`);
  process.exitCode = 1;
}

function require_known(given: readonly string[], known: readonly string[]): void {
  const unknown = given.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new Error(`there is no ${unknown.join(", ")}; there are ${known.join(", ")}`);
  }
}
