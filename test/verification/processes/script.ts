import type { seeded_random } from "../../support/random.js";
import type { Facts, SessionFacts } from "./session-facts.js";
import { size_of } from "./tags.js";

/** What a process does to sessions, one step after another; each is acknowledged before the next begins. */
export type Step =
  | { do: "store save" | "store append" | "store replace"; id: string; tags: string[]; parent_id?: string }
  | { do: "store update"; id: string; label: string }
  | { do: "store flush" | "store delete"; id: string }
  | { do: "start"; key: string; label: string }
  | { do: "turns"; turns: [string, string][] }
  | { do: "save"; label: string }
  | { do: "rename"; id: string; label: string }
  | { do: "fork"; id: string; key: string; message_id?: string }
  | { do: "rewind"; key: string; message_id: string }
  | { do: "load" | "delete"; id: string }
  | { do: "flush" };

export interface PlannedStep {
  step: Step;
  /** What may be found while it is under way, in this order; the last is what it ends in. */
  during: Facts[];
}

export type Random = ReturnType<typeof seeded_random>;

/** How long messages are: sessions of a few bytes, of some hundred kilobytes, of some megabytes. */
export const SIZES = [
  [20, 300],
  [500, 20_000],
  [20_000, 300_000],
] as const;

const MAX_SESSION_BYTES = 4 * 1024 * 1024;
const MAX_SESSIONS = 5;

/** Sessions as a script makes them, step by step. */
export class Plan {
  readonly steps: PlannedStep[] = [];
  readonly random: Random;
  readonly #name: string;
  readonly #sizes: readonly [number, number];
  #facts: Facts;
  #tags = 0;

  /** `name`: of nobody else's tags. */
  constructor(random: Random, facts: Facts, name: string, sizes: readonly [number, number]) {
    this.random = random;
    this.#facts = facts;
    this.#name = name;
    this.#sizes = sizes;
  }

  get ids(): string[] {
    return [...this.#facts.keys()];
  }

  get is_full(): boolean {
    return this.#facts.size >= MAX_SESSIONS;
  }

  facts_of(id: string): SessionFacts {
    return this.#facts.get(id) ?? { history: [], label: undefined };
  }

  is_long(id: string): boolean {
    return this.facts_of(id).history.reduce((sum, tag) => sum + size_of(tag), 0) > MAX_SESSION_BYTES;
  }

  tag(): string {
    const [least, most] = this.#sizes;
    const factor = this.random.below(6) === 0 ? 5 : 1; // long writes are those that are torn
    return `${this.label()}:${least + factor * this.random.below(most - least)}`;
  }

  tags(count: number): string[] {
    return Array.from({ length: count }, () => this.tag());
  }

  /** A text that nobody else uses. */
  label(): string {
    this.#tags += 1;
    return `${this.#name}.${this.#tags}`;
  }

  /** A step that makes these changes one after another; `undefined`: the session is gone. */
  add(step: Step, ...changes: [id: string, facts: SessionFacts | undefined][]): void {
    const during: Facts[] = [this.#facts];
    for (const [id, facts] of changes) {
      const next = new Map(during.at(-1));
      if (facts === undefined) {
        next.delete(id);
      } else {
        next.set(id, facts);
      }
      during.push(next);
    }
    this.#facts = during.at(-1) ?? this.#facts;
    this.steps.push({ step, during });
  }
}

const STORE_IDS = ["s1", "s2", "s3", "s4", "s5"];
const STORE_STEPS = [
  ..."aaaaaaaa".split("").map(() => "store append" as const),
  ...(["store save", "store replace", "store update", "store update", "store flush", "store delete"] as const),
];

/** One more step of a program that uses the store itself. */
export function plan_store_step(plan: Plan): void {
  const { random } = plan;
  const kind = random.pick(STORE_STEPS);
  const id = random.pick(plan.ids.length < 2 || kind === "store save" ? STORE_IDS : plan.ids);
  const { history, label } = plan.facts_of(id);
  if (!plan.ids.includes(id) || kind === "store save" || kind === "store replace" || plan.is_long(id)) {
    const tags = plan.tags(random.below(12));
    const parent_id = random.pick([undefined, undefined, ...STORE_IDS]);
    const is_new = !plan.ids.includes(id);
    const step = { id, tags, ...(parent_id !== undefined && parent_id !== id && { parent_id }) };
    plan.add({ do: kind === "store replace" && !is_new ? kind : "store save", ...step }, [
      id,
      { history: tags, label },
    ]);
  } else if (kind === "store append") {
    const tags = plan.tags(1 + random.below(3));
    plan.add({ do: kind, id, tags }, [id, { history: [...history, ...tags], label }]);
  } else if (kind === "store update") {
    const other = plan.label();
    plan.add({ do: kind, id, label: other }, [id, { history, label: other }]);
  } else if (kind === "store delete") {
    plan.add({ do: kind, id }, [id, undefined]);
  } else {
    plan.add({ do: kind, id });
  }
}
