import { seeded_random } from "../../support/random.js";

/** What a writer does to one session, in one call of the store. */
export type Step =
  | { kind: "save" | "replace"; id: string; texts: string[]; label: string; parent_id: string | null }
  | { kind: "append"; id: string; texts: string[] }
  | { kind: "update"; id: string; label: string; parent_id: string | null }
  | { kind: "flush" | "delete"; id: string };

/** A session as far as a reader can tell. */
export interface Expected {
  texts: string[];
  label: string;
  parent_id: string | null;
}

export type Sessions = ReadonlyMap<string, Expected>;

type Random = ReturnType<typeof seeded_random>;

/** So many calls are under way at a time, each on a session of its own lane. */
export const MAX_LANES = 2;
const PARENTS = [null, "p", "q"] as const;
const SIZES = [20, 300, 5_000, 12_000, 40_000] as const;

/** The same steps for the same seed: a writer does them, and whoever looks at what is left knows them. */
export function plan(seed: number, lane: number, count: number): Step[] {
  const random = seeded_random(seed * MAX_LANES + lane);
  const steps: Step[] = [];
  let sessions: Sessions = new Map();
  while (steps.length < count) {
    const step = next_step(random, `${lane}.${steps.length}`, random.pick([`a${lane}`, `b${lane}`]), sessions);
    steps.push(step);
    sessions = after(sessions, step);
  }
  return steps;
}

function next_step({ below, pick }: Random, name: string, id: string, sessions: Sessions): Step {
  const texts = (most: number) =>
    Array.from({ length: 1 + below(most) }, (_, n) => `${name}.${n} `.padEnd(pick(SIZES), "x"));
  const change = { label: `label of ${name}`, parent_id: pick(PARENTS) };
  const save: Step = { kind: pick(["save", "replace"]), id, texts: texts(3), ...change };
  if (!sessions.has(id)) {
    return save;
  }
  const choice = below(100);
  if (choice < 60) {
    return { kind: "append", id, texts: texts(2) };
  }
  if (choice < 70) {
    return { kind: "update", id, ...change };
  }
  return choice < 78 ? { kind: "flush", id } : choice < 83 ? { kind: "delete", id } : save;
}

/** The sessions after this step. */
export function after(sessions: Sessions, step: Step): Sessions {
  const result = new Map(sessions);
  const old = sessions.get(step.id) ?? { texts: [], label: "", parent_id: null };
  switch (step.kind) {
    case "save":
    case "replace":
      return result.set(step.id, { texts: step.texts, label: step.label, parent_id: step.parent_id });
    case "append":
      return result.set(step.id, { ...old, texts: [...old.texts, ...step.texts] });
    case "update":
      return result.set(step.id, { ...old, label: step.label, parent_id: step.parent_id });
    case "delete":
      result.delete(step.id);
      return result;
    case "flush":
      return result;
  }
}
