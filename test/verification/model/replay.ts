/**
 * One sequence of a random run again, as a loss of `model-store` or `model-manager` tells it: every step of the way to
 * the smallest sequence, or that one alone.
 *
 * Usage: npx tsx test/verification/model/replay.ts "store json" SEED PATH
 */
import { check_managers, check_stores } from "../methods/model.js";

const [name = "", seed = "1", path] = process.argv.slice(2);
const [what, format] = name.split(" ");
const parameters = { seed: Number(seed), ...(path !== undefined && { path }), endOnFailure: true };
const losses = await (what === "store" ? check_stores : check_managers)(
  format === "ndjson" ? "ndjson" : "json",
  parameters,
);
console.log(losses.losses.join("\n") || "no difference");
