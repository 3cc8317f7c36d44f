/**
 * The sequence of one seed again: what it finds, and the smallest sequence that finds the same.
 *
 * Usage: npx tsx test/crash/manager-calls/replay.ts SEED
 */
import { VirtualTime } from "./virtual-time.js";

const time = new VirtualTime(true);
time.begin(); // before anything keeps a timer of its own
const { describe_plan, draw_plan } = await import("./plan.js");
const { run_plan } = await import("./run.js");
const { describe_loss } = await import("./search.js");

const plan = draw_plan(Number(process.argv[2] ?? "1"));
const findings = await run_plan(plan, time);
console.log(describe_plan(plan));
for (const kind of new Set(findings.map((finding) => finding.kind))) {
  const same = findings.filter((finding) => finding.kind === kind);
  console.log(
    `\n${same.map(({ text }) => `${kind}: ${text}`).join("\n")}\n\nAs small as it gets: ${await describe_loss(plan, same, time)}`,
  );
}
if (findings.length === 0) {
  console.log("\nnothing is wrong");
}
