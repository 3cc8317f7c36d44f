import type { FileSessionFormat } from "../../../src/stores/file/snapshot-form.js";
import { seeded_random } from "../../support/random.js";
import { run_order, type Options, type Run, type Scenario } from "./run-order.js";

/** Choices that were made before, and one that was not. */
interface Work {
  of: readonly number[];
  length: number;
  then?: number;
  preemptions: number;
}

/**
 * All orders of a scenario, those with fewer interruptions first. An order that comes to where another one was, with
 * no fewer interruptions behind it, is not followed further.
 */
export class Explorer {
  readonly scenario: Scenario;
  readonly format: FileSessionFormat;
  /** Orders that were run to their end, and those that became the same as one of these. */
  orders = 0;
  cut_short = 0;
  losses: string[] = [];
  /** Complete orders to choose samples from. */
  readonly samples: number[][] = [];
  readonly #options: Options;
  readonly #random: ReturnType<typeof seeded_random>;
  readonly #seen = new Map<string, number>();
  readonly #work: Work[][] = [[{ of: [], length: 0, preemptions: 0 }]];

  constructor(
    scenario: Scenario,
    format: FileSessionFormat,
    { seed = 1, ...options }: Options & { seed?: number } = {},
  ) {
    this.scenario = scenario;
    this.format = format;
    this.#random = seeded_random(seed);
    this.#options = options;
  }

  /** All orders with so many interruptions, until it is late or one went wrong. Returns whether these are all. */
  async explore(preemptions: number, is_late: () => boolean): Promise<boolean> {
    const work = (this.#work[preemptions] ??= []);
    while (work.length > 0 && this.losses.length === 0 && !is_late()) {
      await this.#follow(this.#take(work));
    }
    return work.length === 0 && this.losses.length === 0;
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

  async #follow({ of, length, then, preemptions }: Work): Promise<void> {
    const prefix = [...of.slice(0, length), ...(then === undefined ? [] : [then])];
    const is_known = (key: string) => this.#is_known(key, preemptions);
    const run = await run_order(this.scenario, this.format, { prefix, is_known }, this.#options);
    const { choices, decisions, was_known } = run.order;
    this[was_known ? "cut_short" : "orders"] += 1;
    if (!was_known && this.orders % 8 === 1) {
      this.samples.push(choices);
    }
    if (run.problems.length > 0) {
      this.losses.push(report(run));
    }
    for (const [offset, { others }] of decisions.entries()) {
      for (const { thread, preempts, key } of others) {
        const needed = preemptions + (preempts ? 1 : 0);
        if (!this.#is_known(key, needed)) {
          (this.#work[needed] ??= []).push({
            of: choices,
            length: prefix.length + offset,
            then: thread,
            preemptions: needed,
          });
        }
      }
    }
  }

  /** Whether it was met with no more interruptions; from now on, it was. */
  #is_known(key: string, preemptions: number): boolean {
    if ((this.#seen.get(key) ?? Infinity) <= preemptions) {
      return true;
    }
    this.#seen.set(key, preemptions);
    return false;
  }
}

/** What is wrong, and in which order it came to that. */
export function report({ problems, order, world: { scenario, format } }: Run): string {
  const schedule = order.trace.map((step, at) => `${at} ${step}`).join("\n    ");
  return `${format}, ${scenario.name}: ${problems.join("\n    ")}\n    in this order:\n    ${schedule}`;
}
