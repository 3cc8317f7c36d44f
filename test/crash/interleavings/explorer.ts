import type { FileSessionFormat } from "../../../src/stores/file/snapshot-form.js";
import { seeded_random } from "../../support/random.js";
import { Parked } from "./parked.js";
import { Visits } from "./visits.js";
import { Memory } from "./memory.js";
import type { Doing, Guide, Order, Other } from "./order.js";
import { recall_order } from "./recall-order.js";
import { run_order, type Options, type Run, type Scenario } from "./run-order.js";

/** Choices that were made before, and one that was not. */
interface Work {
  of: readonly number[];
  length: number;
  then?: Pick<Other, "thread" | "key" | "held">;
  preemptions: number;
}

/** Of the orders that are only recalled, every so many are run as well. */
const COMPARED = 100;

/**
 * All orders of a scenario, those with fewer interruptions first. What leads to the same as another order, with no
 * fewer interruptions, is not followed: where it comes to where another one was, where one that was interrupted goes on
 * before anything conflicted with what it was about to do, or nobody ever does what would.
 */
export class Explorer {
  readonly scenario: Scenario;
  readonly format: FileSessionFormat;
  /** Orders that were run to their end, and those that became the same as one of these. */
  orders = 0;
  cut_short = 0;
  /** Of both, those that were run: in the others nobody sees anything that it has not seen before. */
  runs = 0;
  losses: string[] = [];
  /** Complete orders to choose samples from. */
  readonly samples: number[][] = [];
  readonly #options: Options;
  readonly #in_full: boolean | undefined;
  readonly #random: ReturnType<typeof seeded_random>;
  readonly #visits = new Visits();
  readonly #work: Work[][] = [[{ of: [], length: 0, preemptions: 0 }]];
  readonly #parked = new Parked<Work>();
  readonly #judged: Set<string>;
  #memory: Memory | undefined;

  constructor(
    scenario: Scenario,
    format: FileSessionFormat,
    { seed = 1, in_full, judged = new Set(), ...options }: Options & { seed?: number; in_full?: boolean } = {},
  ) {
    this.#judged = judged;
    this.#memory = in_full === true ? undefined : new Memory(scenario.scripts.length);
    this.#in_full = in_full;
    this.scenario = scenario;
    this.format = format;
    this.#random = seeded_random(seed);
    this.#options = options;
  }

  /** All orders with up to so many interruptions, until it is late or one went wrong. Returns whether these are all. */
  async explore(preemptions: number, is_late: () => boolean): Promise<boolean> {
    for (;;) {
      const work = this.#work.slice(0, preemptions + 1).find((some) => some.length > 0);
      if (work === undefined || this.losses.length > 0) {
        return this.losses.length === 0;
      }
      if (is_late()) {
        return false;
      }
      await this.#follow(this.#take(work));
    }
  }

  /** One at random: where time is short, what is followed is a sample of all. */
  #take(work: Work[]): Work {
    const at = this.#random.below(work.length);
    const [taken, last] = [work[at], work.pop()] as [Work, Work];
    if (at < work.length) {
      work[at] = last;
    }
    return taken;
  }

  /** What was followed so far, to the end or not. */
  get followed(): number {
    return this.orders + this.cut_short;
  }

  /** How much there is to follow with so many interruptions, as far as that is known. */
  left(preemptions: number): number {
    return this.#work[preemptions]?.length ?? 0;
  }

  /** Where nobody goes on: all but what was counted and found. */
  forget(): void {
    this.#visits.clear();
    this.#judged.clear();
    this.#parked.clear();
    this.#memory = undefined;
    this.#work.length = 0;
  }

  async #follow({ of, length, then, preemptions }: Work): Promise<void> {
    if (then !== undefined && this.#was_visited(then.key, preemptions, then.held)) {
      return;
    }
    const prefix = [...of.slice(0, length), ...(then === undefined ? [] : [then.thread])];
    const guide = {
      in_full: this.#in_full,
      prefix,
      is_known: (key: number, held: readonly number[]) => this.#was_visited(key, preemptions, held),
      note: (doing: Doing) => this.#parked.note(doing).forEach((work) => this.#add(work)),
    };
    const { choices, decisions, was_known } = await this.#go_through(guide);
    this[was_known ? "cut_short" : "orders"] += 1;
    if (!was_known && this.orders % 8 === 1) {
      this.samples.push(choices);
    }
    for (const [offset, { others }] of decisions.entries()) {
      for (const { thread, preempts, key, held, instead_of } of others) {
        const needed = preemptions + (preempts ? 1 : 0);
        const work = { of: choices, length: prefix.length + offset, then: { thread, key, held }, preemptions: needed };
        if (this.#is_covered(key, needed, held)) {
          continue;
        }
        if (this.#in_full === true || instead_of === undefined || this.#parked.is_met(instead_of)) {
          this.#add(work);
        } else {
          this.#parked.park(instead_of, work);
        }
      }
    }
  }

  /** Recalls an order as far as possible, and runs it where it comes to something new. */
  async #go_through(guide: Guide): Promise<Order> {
    const { order, found } = (this.#memory && recall_order(this.scenario, this.#memory, guide)) ?? {};
    const is_judged = found !== undefined && this.#judged.has(found);
    if (order !== undefined && (order.was_known || (is_judged && this.followed % COMPARED !== 0))) {
      return order;
    }
    this.runs += 1;
    const options = { ...this.#options, judged: this.#judged, memory: this.#memory };
    const run = await run_order(
      this.scenario,
      this.format,
      { ...guide, prefix: order?.choices ?? guide.prefix },
      options,
    );
    if (found !== undefined && run.found !== found) {
      run.problems.push("the order comes to something else than was recalled");
    }
    if (run.problems.length > 0) {
      this.losses.push(report(run));
    }
    return { ...run.order, decisions: [...(order?.decisions ?? []), ...run.order.decisions] };
  }

  #add(work: Work): void {
    (this.#work[work.preemptions] ??= []).push(work);
  }

  #is_covered(key: number, preemptions: number, held: readonly number[]): boolean {
    return this.#in_full !== true && this.#visits.has(key, preemptions, held);
  }

  /** Whether nothing is left to find from there; now, somebody is there. */
  #was_visited(key: number, preemptions: number, held: readonly number[]): boolean {
    if (this.#is_covered(key, preemptions, held)) {
      return true;
    }
    this.#visits.add(key, preemptions, held);
    return false;
  }
}

/** What is wrong, and in which order it came to that. */
export function report({ problems, order, world: { scenario, format } }: Run): string {
  const schedule = order.trace.map((step, at) => `${at} ${step()}`).join("\n    ");
  return `${format}, ${scenario.name}: ${problems.join("\n    ")}\n    in this order:\n    ${schedule}`;
}
