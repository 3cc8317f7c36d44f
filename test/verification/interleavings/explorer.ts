import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { seeded_random } from "../../support/random.js";
import { Branches, type Branch, type Work } from "./branches.js";
import { Memory } from "./memory.js";
import type { Doing, Guide, Order } from "./order.js";
import { Parked } from "./parked.js";
import { RecalledOrder } from "./recalled.js";
import { run_order, type Options, type Run, type Scenario } from "./run-order.js";
import { Visits } from "./visits.js";

interface Parking {
  preemptions: number;
  of: readonly number[];
  branch: Branch;
}

export interface Settings extends Options {
  seed?: number;
  /** Nothing is left out, and nothing recalled. */
  in_full?: boolean;
  /** Without it, orders that are made of what is known are not run. */
  is_recalled?: boolean;
  /** Orders with more interruptions are not followed. */
  most?: number;
  /** How many branches of one order are followed before another has its turn. */
  at_a_time?: number;
}

/** Of the orders that are only recalled, one of so many is run as well. */
const COMPARED = 100;

/**
 * All orders of a scenario, those with fewer interruptions first. What leads to the same as another order, with no
 * fewer interruptions, is not followed: where it comes to where another one was, where one that was interrupted goes on
 * before anything conflicted with what it was about to do, or nobody ever does what would.
 */
export class Explorer {
  readonly scenario: Scenario;
  readonly format: FileSessionFormat;
  /** Orders that were followed to their end, and those that became the same as one of these. */
  orders = 0;
  cut_short = 0;
  /** Of both, those that were run: in the others nobody sees anything that it has not seen before. */
  runs = 0;
  losses: string[] = [];
  /** Complete orders to choose samples from. */
  readonly samples: number[][] = [];
  readonly #options: Options;
  readonly #in_full: boolean | undefined;
  readonly #most: number;
  readonly #at_a_time: number;
  readonly #visits = new Visits();
  readonly #work: Branches;
  readonly #parked = new Parked<Parking>();
  readonly #judged: Set<string>;
  #memory: Memory | undefined;

  constructor(scenario: Scenario, format: FileSessionFormat, settings: Settings = {}) {
    const {
      seed = 1,
      in_full,
      is_recalled = in_full !== true,
      most = Infinity,
      at_a_time = Infinity,
      judged = new Set(),
      ...options
    } = settings;
    this.scenario = scenario;
    this.format = format;
    this.#in_full = in_full;
    this.#most = most;
    this.#at_a_time = at_a_time;
    this.#judged = judged;
    this.#options = options;
    this.#memory = is_recalled ? new Memory(scenario.scripts.length) : undefined;
    this.#work = new Branches(seeded_random(seed));
    this.#work.add(0, [], [{ length: 0 }]);
  }

  /** All orders with up to so many interruptions, until it is late or one went wrong. Returns whether these are all. */
  async explore(preemptions: number, is_late: () => boolean): Promise<boolean> {
    for (;;) {
      const fewest = this.#work.fewest() ?? Infinity;
      if (fewest > preemptions || this.losses.length > 0) {
        return this.losses.length === 0;
      }
      if (is_late()) {
        return false;
      }
      await this.#follow_all(this.#work.take(fewest, this.#at_a_time), fewest, is_late);
    }
  }

  /** What was followed so far, to the end or not. */
  get followed(): number {
    return this.orders + this.cut_short;
  }

  /** How much there is to follow with so many interruptions, as far as that is known. */
  left(preemptions: number): number {
    return this.#work.left(preemptions);
  }

  /** Where nobody goes on: all but what was counted and found. */
  forget(): void {
    this.#visits.clear();
    this.#judged.clear();
    this.#parked.clear();
    this.#memory = undefined;
    this.#work.clear();
  }

  /** What the branches of one order have in common is gone through once. */
  async #follow_all({ of, branches }: Work, preemptions: number, is_late: () => boolean): Promise<void> {
    const stem = this.#memory && RecalledOrder.begin(this.scenario, this.#memory);
    for (const [at, { length, then }] of branches.entries()) {
      if (this.losses.length > 0 || (at > 0 && is_late())) {
        this.#work.add(preemptions, of, branches.slice(at));
        return;
      }
      if (then === undefined || !this.#was_visited(then.key, preemptions, then.held)) {
        stem?.advance(of, length);
        await this.#follow([...of.slice(0, length), ...(then ? [then.thread] : [])], preemptions, stem?.copy());
      }
    }
  }

  async #follow(prefix: readonly number[], preemptions: number, recalled: RecalledOrder | undefined): Promise<void> {
    const guide = {
      in_full: this.#in_full,
      is_last: preemptions >= this.#most,
      prefix,
      is_known: (key: number, held: readonly number[]) => this.#was_visited(key, preemptions, held),
      note: (doing: Doing) => {
        this.#parked.note(doing).forEach((one) => this.#work.add(one.preemptions, one.of, [one.branch]));
      },
    };
    const order = await this.#go_through(guide, recalled);
    this[order.was_known ? "cut_short" : "orders"] += 1;
    if (!order.was_known && this.orders % 8 === 1) {
      this.samples.push(order.choices);
    }
    this.#branch_off(order, prefix.length, preemptions);
  }

  /** Recalls an order as far as possible, and runs it where it comes to something new. */
  async #go_through(guide: Guide, recalled: RecalledOrder | undefined): Promise<Order> {
    const { order, found } = recalled?.go_on(guide) ?? {};
    const is_judged = found !== undefined && this.#judged.has(found);
    if (order !== undefined && (order.was_known || (is_judged && this.followed % COMPARED !== 0))) {
      return order;
    }
    this.runs += 1;
    const options = { ...this.#options, judged: this.#judged, memory: this.#memory };
    const prefix = order?.choices ?? guide.prefix;
    const run = await run_order(this.scenario, this.format, { ...guide, prefix }, options);
    if (found !== undefined && run.found !== found) {
      run.problems.push("the order comes to something else than was recalled");
    }
    if (run.problems.length > 0) {
      this.losses.push(report(run));
    }
    return { ...run.order, decisions: [...(order?.decisions ?? []), ...run.order.decisions] };
  }

  #branch_off({ choices, decisions }: Order, begin: number, preemptions: number): void {
    const branches: [Branch[], Branch[]] = [[], []];
    for (const [offset, { others }] of decisions.entries()) {
      for (const { thread, preempts, key, held, instead_of } of others) {
        const needed = preemptions + (preempts ? 1 : 0);
        if (needed > this.#most || this.#is_covered(key, needed, held)) {
          continue;
        }
        const branch = { length: begin + offset, then: { thread, key, held } };
        if (this.#in_full === true || instead_of === undefined || this.#parked.is_met(instead_of)) {
          branches[preempts ? 1 : 0].push(branch);
        } else {
          this.#parked.park(instead_of, { preemptions: needed, of: choices, branch });
        }
      }
    }
    branches.forEach((some, more) => this.#work.add(preemptions + more, choices, some));
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
