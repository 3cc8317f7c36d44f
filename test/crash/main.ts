/**
 * The full form of every method that shows whether something acknowledged can be lost, and one table of what they
 * found. Exits with 1 where anything was lost, or a method could not be run that this machine has to be able to run.
 *
 * Usage: npm run test:crash -- [--only NAME] [--seed N] [--short] [--to-the-end]
 */
import { parseArgs } from "node:util";
import { METHODS } from "./methods/index.js";

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: METHODS.map(({ name }) => name) },
    seed: { type: "string", default: "1" },
    /** The form that is part of `npm test`. */
    short: { type: "boolean", default: false },
    /** However long it takes: what the full form looks at as far as it comes in its time. */
    "to-the-end": { type: "boolean", default: false },
  },
});
const unknown = options.only.filter((name) => !METHODS.some((method) => method.name === name));
if (unknown.length > 0) {
  throw new Error(`there is no ${unknown.join(", ")}; there are ${METHODS.map(({ name }) => name).join(", ")}`);
}

const rows = [["method", "rounds", "losses", "seconds", ""]];
for (const method of METHODS.filter(({ name }) => options.only.includes(name))) {
  const reason = method.unavailable?.();
  if (reason !== undefined) {
    console.error(`SKIPPED: ${method.name}: ${reason}`);
    rows.push([method.name, "", "", "", `skipped: ${reason}`]);
    continue;
  }
  console.error(`${method.name} …`);
  const began = performance.now();
  const {
    rounds,
    unit,
    losses,
    note = "",
  } = await method.run({
    full: !options.short,
    to_the_end: options["to-the-end"],
    seed: Number(options.seed),
    tell: (line) => console.error(`  ${line}`),
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  rows.push([method.name, `${rounds.toLocaleString("en")} ${unit}`, String(losses.length), seconds, note]);
  for (const loss of losses.slice(0, 20)) {
    console.error(`  LOST: ${loss}`);
  }
  if (losses.length > 0) {
    process.exitCode = 1;
  }
}

const widths = (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => (row[column] ?? "").length)));
const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
const [head = [], ...body] = rows;
console.log([line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n"));
