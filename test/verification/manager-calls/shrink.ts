import type { Call } from "./calls.js";
import type { Finding, Kind } from "./ledger.js";
import type { Plan } from "./plan.js";
import { run_plan } from "./run.js";
import { real_now, type VirtualTime } from "./virtual-time.js";

/** Limits of one search. A run in which a call hangs is slow. */
const MOST_RUNS = 1500;
const MOST_MS = 10_000;

/** A plan that still fails in the same way, and is as small as it gets by leaving things out. */
export async function shrink(
  plan: Plan,
  kind: Kind,
  time: VirtualTime,
): Promise<{ plan: Plan; finding: Finding | undefined }> {
  let smallest = plan;
  let finding = await finding_of(plan, kind, time);
  let runs = 0;
  const until_ms = real_now() + MOST_MS;
  const is_enough = () => runs > MOST_RUNS || real_now() > until_ms;
  const accept = async (smaller: Plan): Promise<boolean> => {
    runs += 1;
    const found = is_enough() ? undefined : await finding_of(smaller, kind, time);
    if (found === undefined) {
      return false;
    }
    smallest = smaller;
    finding = found;
    return true;
  };
  for (let is_done = finding === undefined; !is_done;) {
    const before = smallest;
    for (let size = Math.ceil(smallest.calls.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
      for (let end = smallest.calls.length; end > 0; end -= size) {
        await accept({ ...smallest, calls: smallest.calls.toSpliced(Math.max(0, end - size), Math.min(size, end)) });
      }
    }
    for (const simpler of simpler_plans(smallest)) {
      await accept({ ...smallest, ...simpler });
    }
    for (const n of smallest.calls.keys()) {
      for (const change of simpler_calls(smallest.calls[n] as Call)) {
        await accept({
          ...smallest,
          calls: smallest.calls.with(n, { ...(smallest.calls[n] as Call), ...change } as Call),
        });
      }
    }
    is_done = smallest === before || is_enough();
  }
  return { plan: smallest, finding };
}

async function finding_of(plan: Plan, kind: Kind, time: VirtualTime): Promise<Finding | undefined> {
  return (await run_plan(plan, time)).find((finding) => finding.kind === kind);
}

function simpler_plans(plan: Plan): Partial<Plan>[] {
  const { options, latency, users, without, has_own_stores, provider, store } = plan;
  return [
    ...(users > 1 ? [{ users: 1 as const, calls: plan.calls.map((call) => ({ ...call, user: 0 as const })) }] : []),
    ...(latency > 0 ? [{ latency: 0 }, { latency: latency - 1 }] : []),
    ...(without.length > 0 ? [{ without: [] }] : []),
    ...(has_own_stores ? [{ has_own_stores: false }] : []),
    ...(provider === "streaming" ? [{ provider: "awaiting" as const }] : []),
    ...(store !== "memory" ? [{ store: "memory" as const }] : []),
    ...(options.drafts ? [{ options: { ...options, drafts: false } }] : []),
    ...(options.auto_start ? [{ options: { ...options, auto_start: false } }] : []),
    ...(options.auto_save ? [] : [{ options: { ...options, auto_save: true } }]),
    ...(options.on_conflict === "error" ? [{ options: { ...options, on_conflict: "fork" as const } }] : []),
    ...(options.on_replace === "overwrite" ? [{ options: { ...options, on_replace: "keep" as const } }] : []),
  ];
}

function simpler_calls(call: Call): Partial<Call>[] {
  return [
    ...(call.pause > 0 ? [{ pause: 0 }, { pause: call.pause - 1 }] : []),
    ...(call.is_awaited ? [{ is_awaited: false }] : []),
    ...(call.op === "turn" && call.answer !== "ok" ? [{ answer: "ok" as const }] : []),
    ...(call.op === "fault" && call.times > 1 ? [{ times: 1 }] : []),
    ...(call.op === "fault" && call.skip > 0 ? [{ skip: 0 }, { skip: call.skip - 1 }] : []),
    ...(call.op === "fault" && call.methods !== "saves" ? [{ methods: "saves" as const }] : []),
    ...(call.op === "fork" && call.message !== undefined ? [{ ...without_message(call) }] : []),
  ];
}

function without_message(call: Call): Partial<Call> {
  return { ...call, message: undefined } as unknown as Partial<Call>;
}
