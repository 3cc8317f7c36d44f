/**
 * The sequence of one seed again: what it finds, the smallest sequence that finds the same, and all that happens in that.
 *
 * Usage: npx tsx test/verification/manager-calls/replay.ts SEED
 */
import { VirtualTime } from "./virtual-time.js";

const time = new VirtualTime(true);
time.begin(); // before anything keeps a timer of its own
const { describe_plan, draw_plan } = await import("./plan.js");
const { run_plan } = await import("./run.js");
const { shrink } = await import("./shrink.js");

/** Writes short names for ids, in the order in which they come. */
function shortener(): (text: string) => string {
  const names = new Map<string, string>();
  return (text) =>
    text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{40}/g, (id) => {
      const name = names.get(id) ?? `${id.length === 40 ? "m" : "S"}${names.size + 1}`;
      names.set(id, name);
      return name;
    });
}

const plan = draw_plan(Number(process.argv[2] ?? "1"));
console.log(describe_plan(plan));
const findings = await run_plan(plan, time);
console.log(findings.map(({ kind, text }) => `\n${kind}: ${text}`).join("") || "\nnothing is wrong");
for (const kind of new Set(findings.map((finding) => finding.kind))) {
  const smallest = await shrink(plan, kind, time);
  console.log(`\n${kind}, as small as it gets:\n${describe_plan(smallest.plan)}\n`);
  const short = shortener();
  const again = await run_plan(smallest.plan, time, { trace: (line) => console.log(short(`  ${line}`)) });
  again.forEach((finding) => console.log(short(`  found: ${finding.kind}: ${finding.text}`)));
}
