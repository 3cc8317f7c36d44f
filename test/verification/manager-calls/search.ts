import { KINDS, type Finding, type Kind } from "./ledger.js";
import { describe_plan, draw_plan, type Plan, type StoreKind } from "./plan.js";
import { run_plan } from "./run.js";
import { shrink } from "./shrink.js";
import { real_now, type VirtualTime } from "./virtual-time.js";

/** The seeds `first`, `first + step`, … until there were `count`, or the time is over. */
export interface Task {
  first: number;
  step: number;
  count: number;
  time_ms: number;
  stores?: StoreKind[];
  /** Kinds of findings that are passed over. */
  ignored?: Kind[];
  /** Of each kind so many are told at most. */
  most?: number;
}

export interface Found {
  sequences: number;
  /** The number of sequences in which each kind was found. */
  counts: Partial<Record<Kind, number>>;
  /** The first of each kind, as a reader would write them. */
  losses: string[];
}

/** Runs a sequence for each seed, and shrinks those that fail. */
export async function search(task: Task, time: VirtualTime, tell?: (line: string) => void): Promise<Found> {
  const { first, step, count, time_ms, stores, ignored = [], most = 1 } = task;
  const until_ms = real_now() + time_ms;
  const found: Found = { sequences: 0, counts: {}, losses: [] };
  for (let seed = first; found.sequences < count && real_now() < until_ms; seed += step) {
    const plan = draw_plan(seed, stores);
    const findings = (await run_or_crash(plan, time)).filter(({ kind }) => !ignored.includes(kind));
    found.sequences += 1;
    for (const kind of new Set(findings.map((finding) => finding.kind))) {
      const times = (found.counts[kind] ?? 0) + 1;
      found.counts[kind] = times;
      if (times <= most) {
        const loss = await describe_loss(
          plan,
          findings.filter((finding) => finding.kind === kind),
          time,
        );
        found.losses.push(loss);
        tell?.(`after ${found.sequences} sequences: ${loss}`);
      }
    }
  }
  return found;
}

async function run_or_crash(plan: Plan, time: VirtualTime): Promise<Finding[]> {
  try {
    return await run_plan(plan, time);
  } catch (error) {
    throw new Error(`seed ${plan.seed} ended with ${String(error)}`, { cause: error });
  }
}

/** The finding, the sequence as small as it gets, and how to see it again. */
export async function describe_loss(plan: Plan, findings: readonly Finding[], time: VirtualTime): Promise<string> {
  const [{ kind, text } = { kind: "hang" as const, text: "" }] = findings;
  const { plan: smallest, finding } = await shrink(plan, kind, time);
  return [
    `${kind} (${KINDS[kind]}): ${finding?.text ?? `${text} (not found again)`}`,
    ...describe_plan(smallest).split("\n"),
    `again: npx tsx test/verification/manager-calls/replay.ts ${plan.seed}`,
  ].join("\n    ");
}
