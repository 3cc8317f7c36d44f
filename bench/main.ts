/**
 * Measures what the README says of speed: ratios, each of two things done in turns in one run.
 *
 * Usage: npm run bench -- [--only NAME] [--quick] [--check]
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { APPEND } from "./append.js";
import { AUTO_SAVE } from "./auto-save.js";
import { print_table, type Figure } from "./harness.js";
import { LIST } from "./list.js";
import { LOAD } from "./load.js";

const SUBJECTS = [AUTO_SAVE, APPEND, LIST, LOAD];

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: SUBJECTS.map(({ name }) => name) },
    quick: { type: "boolean", default: false },
    /** Exit with 1 where a bound is missed. */
    check: { type: "boolean", default: false },
  },
});
const unknown = options.only.filter((name) => !SUBJECTS.some((subject) => subject.name === name));
if (unknown.length > 0) {
  throw new Error(`there is no ${unknown.join(", ")}; there are ${SUBJECTS.map(({ name }) => name).join(", ")}`);
}

process.on("SIGINT", () => process.exit(130));
const figures: Figure[] = [];
for (const subject of SUBJECTS.filter(({ name }) => options.only.includes(name))) {
  console.error(`measuring ${subject.name} …`);
  figures.push(...(await subject.measure({ quick: options.quick })));
}
console.log(`Node ${process.version}, ${process.platform}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}\n`);
print_table(figures);
const missed = figures.filter(({ holds }) => holds === false);
if (options.check && missed.length > 0) {
  console.error(`\nmissed: ${missed.map(({ what }) => what).join("; ")}`);
  process.exitCode = 1;
}
