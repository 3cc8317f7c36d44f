import type { RecordingLayer } from "../crash-states/recording-layer.js";
import type { Actor } from "./actor.js";
import { describe_call, type Answer, type Call } from "./history.js";
import { is_linearizable } from "./linearize.js";
import { ids_of, type World } from "./run-order.js";

/**
 * Whether all answers, with what is there in the end, are those of a store that does one thing after another. `last`
 * comes when nothing moves any more.
 */
export async function judge_answers(world: World, last: Actor, reads_are_missing = false): Promise<string[]> {
  const { scenario, calls, start } = world;
  const end = Math.max(world.scheduler.step, ...calls.map(({ began, ended }) => ended ?? began)) + 1;
  const answered = calls.length;
  for (const id of ids_of(scenario)) {
    await last.load(id);
    await last.list(id);
  }
  calls.slice(answered).forEach((call, at) => Object.assign(call, { began: end + at, ended: end + at }));
  const locks_are_broken = scenario.seen_as?.some((seen) => seen !== "alive") ?? false;
  const problems = unexpected(calls, locks_are_broken);
  if (!is_linearizable(start, calls, { locks_are_broken, reads_are_missing })) {
    problems.push("no order of the calls explains the answers");
  }
  return problems.length === 0 ? [] : [...problems, ...calls.map(describe_call)];
}

function unexpected(calls: readonly Call[], locks_are_broken: boolean): string[] {
  const histories = new Map<string, string>();
  const problems: string[] = [];
  for (const { answer, id } of calls) {
    if (answer?.kind === "failed" && !is_expected(answer, locks_are_broken)) {
      problems.push(`failed: ${answer.reason}`);
    }
    if (answer?.kind === "session" && answer.session?.revision !== undefined) {
      const key = `${id} ${answer.session.revision}`;
      const history = JSON.stringify(answer.session.texts);
      if ((histories.get(key) ?? history) !== history) {
        problems.push(`revision ${key} is that of two histories`);
      }
      histories.set(key, history);
    }
  }
  return problems;
}

/** Without faults of the disk, a call fails by another writer, or by the loss of its lock in the middle. */
function is_expected({ code, reason }: Extract<Answer, { kind: "failed" }>, locks_are_broken: boolean): boolean {
  return /^(conflict|not_found)$/.test(code) || (locks_are_broken && reason.includes("may be stored or not"));
}

/** Finds out whether the next writer of each session can go on, and leaves its own files and nothing else. */
export async function judge_aftermath(disk: RecordingLayer, next: Actor, ids: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  for (const id of ids) {
    const before = await next.load(id);
    if (before === undefined) {
      await next.save(["later"], { id });
      await next.delete(id);
      continue;
    }
    await next.append("later", before.revision, id);
    await next.flush(id);
    const after = (await next.load(id))?.texts.join() ?? "nothing";
    if (after !== [...before.texts, "later"].join()) {
      problems.push(`the next writer of ${id} finds ${before.texts.join()} and leaves ${after}`);
    }
  }
  for (const { code, message } of await next.store.verify()) {
    problems.push(`verify finds ${code}: ${message}`);
  }
  const strangers = (await disk.names("/sessions")).filter((name) => !OWN_FILES.test(name));
  return strangers.length === 0 ? problems : [...problems, `left behind: ${strangers.join()}`];
}

const OWN_FILES = /^\w+(\.json|\.meta\.json|\.ndjson|-forks)$/;
