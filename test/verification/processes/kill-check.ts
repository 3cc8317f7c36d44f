import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { PlannedStep } from "./script.js";
import { is_as, told, type Facts, type SessionFacts } from "./session-facts.js";
import { tag_of } from "./tags.js";
import type { Message } from "@simulacra-ai/core";

/** What a killed process had acknowledged. */
export interface Acknowledged {
  /** How many steps. */
  done: number;
  /** How many messages of the step under way. */
  saved: number | undefined;
  /** The ids of new sessions, by the key that the script gives them. */
  ids: ReadonlyMap<string, string>;
}

export function acknowledged_in(lines: readonly string[]): Acknowledged {
  const result = { done: 0, saved: undefined as number | undefined, ids: new Map<string, string>() };
  for (const line of lines) {
    const [kind, value = "", id = ""] = line.split(" ");
    if (kind === "done") {
      result.done = Number(value);
      result.saved = undefined;
    } else if (kind === "saved") {
      result.saved = Number(value);
    } else if (kind === "id") {
      result.ids.set(value.replaceAll("_", " "), id);
    }
  }
  return result;
}

/** What was acknowledged and is not there, and what is there and cannot be. */
export function losses_in(found: Facts, plan: readonly PlannedStep[], acknowledged: Acknowledged): string[] {
  const { done, ids } = acknowledged;
  const under_way = plan[done];
  const allowed = under_way
    ? still_allowed(under_way, acknowledged)
    : [(plan.at(-1) as PlannedStep).during.at(-1) as Facts];
  const losses: string[] = [];
  const keys = new Set(allowed.flatMap((facts) => [...facts.keys()]));
  const unexplained = new Map(found);
  const unnamed: string[] = [];
  for (const key of keys) {
    const id = ids.get(key) ?? key;
    if (key.startsWith("new ") && !ids.has(key)) {
      unnamed.push(key); // its id was not said any more
      continue;
    }
    const options = allowed.map((facts) => facts.get(key));
    if (!options.some((option) => is_as(found.get(id), option))) {
      losses.push(`${id} has ${told(found.get(id))}, not ${[...new Set(options.map(told))].join(" or ")}`);
    }
    unexplained.delete(id);
  }
  for (const [id, facts] of unexplained) {
    const key = unnamed.find((key) => allowed.some((option) => is_as(facts, option.get(key))));
    if (key === undefined) {
      losses.push(`${id} has ${told(facts)}, and should not be there`);
    } else {
      unnamed.splice(unnamed.indexOf(key), 1);
    }
  }
  return losses.map((loss) => `${loss} (step ${done + 1}: ${JSON.stringify(under_way?.step).slice(0, 120)})`);
}

/** Auto-saves are acknowledged one by one within their step. */
function still_allowed({ step, during }: PlannedStep, { saved }: Acknowledged): Facts[] {
  if (step.do !== "turns" || saved === undefined) {
    return during;
  }
  const first = during.findIndex((facts) => [...facts.values()].some((of) => is_of_turn(of, step.turns, saved)));
  return first < 0 ? during : during.slice(first);
}

function is_of_turn({ history }: SessionFacts, turns: [string, string][], saved: number): boolean {
  return history.length === saved && turns.some(([, answer]) => history.at(-1) === answer);
}

/** Whatever a reader sees that knows nothing of journals: each session is one whole JSON text. */
export function invalid_files(root: string): string[] {
  return fs
    .readdirSync(root)
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => {
      try {
        const value = JSON.parse(fs.readFileSync(join(root, name), "utf8")) as { messages?: Message[] };
        value.messages?.forEach(tag_of);
        return [];
      } catch (error) {
        return [`${name} is not whole: ${String(error)}`];
      }
    });
}

/** What goes wrong while something is looked for is a loss as well. */
export async function or_failure(losses: Promise<string[]>): Promise<string[]> {
  try {
    return await losses;
  } catch (error) {
    return [`it cannot be judged: ${String(error)}`];
  }
}

/** After the next writer of each session and a flush: nothing is there that is no session's. */
export function leftovers_after_next_writer(root: string, store: FileSessionStore): Promise<string[]> {
  return or_failure(write_and_look(root, store));
}

async function write_and_look(root: string, store: FileSessionStore): Promise<string[]> {
  const names = fs.readdirSync(root).filter((name) => !name.endsWith("-forks"));
  const ids = new Set(names.map((name) => name.replace(/\.([0-9a-f]{12}\.tmp|[a-z.]+)$/, "")));
  for (const id of ids) {
    if (!(await store.update(id, {}))) {
      await store.delete(id);
    }
  }
  await store.flush();
  return leftovers_in(root);
}

/** What is there beside sessions at rest. */
export async function leftovers_in(root: string): Promise<string[]> {
  const problems = (await new FileSessionStore(root).verify()).map(({ code, message }) => `${code}: ${message}`);
  const others = fs
    .readdirSync(root)
    .filter((name) => !/(\.json|\.meta\.json|\.ndjson|-forks)$/.test(name))
    .map((name) => `left: ${name}`);
  return [...problems, ...others];
}
