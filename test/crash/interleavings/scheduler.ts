import { Causality, type Access } from "./causality.js";
import { VirtualTime } from "./virtual-time.js";

export interface Operation<T> {
  /** What, and on which file. */
  label: string;
  /** Asked for right before it is done: what it touches may depend on what is there. */
  accesses: () => Access[];
  perform: () => Promise<T>;
  /** Nobody comes between it and the operation that follows. */
  holds_turn: boolean;
  /** Nobody else touches what it touches: to be interrupted before it is the same as to be interrupted behind it. */
  is_private(): boolean;
}

/** One operation that an actor is about to do, and is held at. */
type Request = Omit<Operation<unknown>, "perform"> & { thread: number; perform(): void };

/** Somebody who waits for time to pass. */
interface Sleeper {
  thread: number;
  label: string;
  /** Something has changed since, or nothing else can go on. */
  is_awake: boolean;
  wake(): void;
}

/** Where one of several could go on. */
export interface Decision {
  chosen: number;
  /** What else could have: with what has happened then, and whether somebody would have been interrupted. */
  others: { thread: number; preempts: boolean; key: string }[];
}

export interface Order {
  /** Who did an operation, one after another. */
  choices: number[];
  decisions: Decision[];
  /** `n label` for each operation. */
  trace: string[];
  /** It became the same as an order that was seen before, and was left there. */
  was_known: boolean;
  /** Why it did not come to an end. */
  problem?: string;
}

export interface Guide {
  /** The first choices; then whoever is at it goes on for as long as possible. */
  prefix: readonly number[];
  /** Whether a state was met before with as much left to explore: the order need not be followed further. */
  is_known?(key: string): boolean;
  /** Before each operation. Whoever is named dies here: nothing more of it happens. */
  before?(step: number): number | undefined;
}

const MAX_STEPS = 4_000;
const THREADS_PER_ACTOR = 100;

export function actor_of(thread: number): number {
  return Math.floor(thread / THREADS_PER_ACTOR);
}

/**
 * Lets actors go on one operation at a time, in an order that it is given. An actor has as many threads as there are
 * operations that it waits for at once. Who waits for time to pass can go on when somebody else has changed
 * something, or nobody else can go on.
 */
export class Scheduler {
  readonly time: VirtualTime;
  /** Waiting for time to pass is never waiting for others: a holder of a lock may be stopped for as long as one likes. */
  readonly #has_stopped_holder: boolean;
  readonly #causality = new Causality();
  readonly #dead = new Set<number>();
  readonly #spawned = new Map<number, number>();
  #requests: Request[] = [];
  #sleepers: Sleeper[] = [];
  /** Who has the turn; `undefined`: nobody is held. */
  #current: number | undefined;
  /** The thread of the first operation that an actor asks for in its turn is the one that had the turn. */
  #continued = false;
  #holds_turn = false;
  #steps = 0;

  constructor({ has_stopped_holder }: { has_stopped_holder: boolean }) {
    this.#has_stopped_holder = has_stopped_holder;
    this.time = new VirtualTime((wake) => this.#sleep(wake));
  }

  get step(): number {
    return this.#steps;
  }

  is_dead(actor: number): boolean {
    return this.#dead.has(actor);
  }

  /** Waits for its turn, then does it. Outside of an order everything is done at once. */
  ask<T>(actor: number, operation: Operation<T>): Promise<T> {
    const { perform, ...rest } = operation;
    if (!this.time.is_running) {
      return perform();
    }
    return new Promise((resolve, reject) => {
      const request = { ...rest, thread: this.#thread_of(actor), perform: () => void perform().then(resolve, reject) };
      if (!this.#dead.has(actor)) {
        this.#requests.push(request);
      }
    });
  }

  #thread_of(actor: number): number {
    if (this.#current !== undefined && actor_of(this.#current) === actor && !this.#continued) {
      this.#continued = true;
      return this.#current;
    }
    const count = this.#spawned.get(actor) ?? 0;
    this.#spawned.set(actor, count + 1);
    return actor * THREADS_PER_ACTOR + count;
  }

  #sleep(wake: () => void): void {
    const thread = this.#current ?? 0;
    if (!this.#dead.has(actor_of(thread))) {
      const own = this.#thread_of(actor_of(thread));
      this.#sleepers.push({ thread: own, label: "wakes", is_awake: this.#has_stopped_holder, wake });
    }
  }

  /** Runs what the actors begin to its end. `ended`: whether all of them have. */
  async run(begin: (() => void)[], guide: Guide, has_ended: () => boolean): Promise<Order> {
    const order: Order = { choices: [], decisions: [], trace: [], was_known: false };
    try {
      this.time.begin();
      for (const [actor, start] of begin.entries()) {
        this.#current = actor * THREADS_PER_ACTOR;
        this.#continued = true; // its first operation is a new thread's
        start();
        await macrotask();
      }
      this.#current = undefined;
      while (await this.#next(order, guide)) {
        // one operation after another
      }
    } finally {
      this.time.end();
    }
    if (!order.was_known && order.problem === undefined && !has_ended()) {
      order.problem = "somebody waits for ever";
    }
    return order;
  }

  async #next(order: Order, guide: Guide): Promise<boolean> {
    const victim = guide.before?.(this.#steps);
    if (victim !== undefined) {
      this.#kill(victim);
    }
    if (this.#requests.length === 0) {
      this.#sleepers.forEach((sleeper) => (sleeper.is_awake = true));
    }
    const ready = this.#ready();
    const [first] = ready;
    if (first === undefined) {
      return false;
    }
    if (this.#steps >= MAX_STEPS) {
      order.problem = `no end after ${MAX_STEPS} operations`;
      return false;
    }
    const chosen = this.#choose(order, guide, ready) ?? first;
    const accesses = accesses_of(chosen);
    const is_new = this.#steps >= guide.prefix.length;
    if (is_new && guide.is_known?.(this.#causality.after(chosen.thread, accesses)) === true) {
      order.was_known = true;
      return false;
    }
    order.choices.push(chosen.thread);
    order.trace.push(`${actor_of(chosen.thread)} ${chosen.label}`);
    this.#causality.happen(chosen.thread, accesses);
    await this.#perform(chosen, accesses);
    return true;
  }

  #ready(): (Request | Sleeper)[] {
    const bound = this.#holds_turn && this.#requests.find(({ thread }) => thread === this.#current);
    if (bound) {
      return [bound];
    }
    const ready = [...this.#requests, ...this.#sleepers.filter(({ is_awake }) => is_awake)];
    return ready.sort((a, b) => a.thread - b.thread);
  }

  #choose(order: Order, { prefix }: Guide, ready: (Request | Sleeper)[]): Request | Sleeper | undefined {
    const going_on = this.#requests.find(({ thread }) => thread === this.#current);
    const awake = ready.find((one) => !("wake" in one));
    const wanted = prefix[this.#steps];
    const chosen = wanted === undefined ? (going_on ?? awake) : ready.find(({ thread }) => thread === wanted);
    if (wanted !== undefined && chosen === undefined) {
      throw new Error(`step ${this.#steps}: ${wanted} cannot go on; the run is not the same as before`);
    }
    const picked = chosen ?? ready[0];
    if (this.#steps >= prefix.length) {
      const others = ready
        .filter((one) => one !== picked && !(picked === going_on && going_on?.is_private() === true))
        .map((one) => ({
          thread: one.thread,
          preempts: going_on !== undefined || ("wake" in one && awake !== undefined),
          key: this.#causality.after(one.thread, accesses_of(one)),
        }));
      order.decisions.push({ chosen: picked?.thread ?? 0, others });
    }
    return picked;
  }

  async #perform(chosen: Request | Sleeper, accesses: readonly Access[]): Promise<void> {
    this.#steps += 1;
    this.#current = chosen.thread;
    this.#continued = false;
    if ("wake" in chosen) {
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== chosen);
      this.#holds_turn = false;
      this.time.pass(actor_of(chosen.thread));
      chosen.wake();
    } else {
      this.#requests = this.#requests.filter((request) => request !== chosen);
      if (accesses.some(({ writes }) => writes)) {
        this.#wake_others(actor_of(chosen.thread));
      }
      this.#holds_turn = chosen.holds_turn;
      this.time.turn_of(actor_of(chosen.thread));
      chosen.perform();
    }
    await macrotask();
  }

  #wake_others(actor: number): void {
    for (const sleeper of this.#sleepers) {
      sleeper.is_awake ||= actor_of(sleeper.thread) !== actor;
    }
  }

  #kill(actor: number): void {
    this.#dead.add(actor);
    this.#requests = this.#requests.filter(({ thread }) => actor_of(thread) !== actor);
    this.#sleepers = this.#sleepers.filter(({ thread }) => actor_of(thread) !== actor);
    this.#wake_others(actor);
  }
}

function accesses_of(one: Request | Sleeper): Access[] {
  const own = { thing: `actor ${actor_of(one.thread)}`, writes: true };
  return "wake" in one ? [own] : [own, ...one.accesses()];
}

/** Until all that can go on without a turn has gone on. */
function macrotask(): Promise<void> {
  return new Promise((resolve) => set_immediate(resolve));
}

const set_immediate = globalThis.setImmediate;
