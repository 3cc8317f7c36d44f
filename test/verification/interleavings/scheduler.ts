import { Causality, type Access } from "./causality.js";
import type { Call } from "./history.js";
import { conflict, Interrupted } from "./interrupted.js";
import { Looks } from "./looks.js";
import { actor_of, THREADS_PER_ACTOR, type Guide, type Held, type Order, type Other } from "./order.js";

/** One operation that an actor is about to do, and is held at. */
interface Request {
  thread: number;
  held: Held;
}

/** Somebody who waits for time to pass. */
interface Sleeper {
  thread: number;
  /** Something that it looked at last has changed since, or nothing else can go on. */
  is_awake: boolean;
  wake: (thread: number) => void;
}

/** How what is held becomes that of a copy. */
interface Rebinding {
  held(held: Held, actor: number): Held;
  wake(actor: number): (thread: number) => void;
  call(call: Call): Call;
}

const MAX_STEPS = 4_000;

/**
 * Lets actors go on one operation at a time, in an order that it is given. An actor has as many threads as there are
 * operations that it waits for at once. Who waits for time to pass can go on when somebody else has changed
 * something, or nobody else can go on.
 */
export class Scheduler {
  /** How many there are. */
  readonly actors: number;
  /** Waiting for time to pass is never waiting for others: a holder of a lock may be stopped for as long as one likes. */
  readonly #has_stopped_holder: boolean;
  readonly #dead = new Set<number>();
  #causality = new Causality();
  #spawned = new Map<number, number>();
  #interrupted = new Interrupted();
  #looks = new Looks();
  /** Calls that begin with whatever their actor does next. */
  #beginning = new Map<number, { accesses: readonly Access[]; call: Call }>();
  #requests: Request[] = [];
  #sleepers: Sleeper[] = [];
  /** Who has the turn; `undefined`: nobody is held. */
  #current: number | undefined;
  /** The thread of the first operation that an actor asks for in its turn is the one that had the turn. */
  #continued = false;
  #holds_turn = false;
  #steps = 0;
  #turn: number | undefined;

  constructor({ actors, has_stopped_holder }: { actors: number; has_stopped_holder: boolean }) {
    this.actors = actors;
    this.#has_stopped_holder = has_stopped_holder;
  }

  /** The same moment of the same order, apart from this one. */
  copy(rebinding: Rebinding): Scheduler {
    const copy = new Scheduler({ actors: this.actors, has_stopped_holder: this.#has_stopped_holder });
    copy.#causality = this.#causality.copy();
    copy.#spawned = new Map(this.#spawned);
    copy.#interrupted = this.#interrupted.copy();
    copy.#looks = this.#looks.copy();
    for (const [actor, { accesses, call }] of this.#beginning) {
      copy.#beginning.set(actor, { accesses, call: rebinding.call(call) });
    }
    copy.#requests = this.#requests.map(({ thread, held }) => ({
      thread,
      held: rebinding.held(held, actor_of(thread)),
    }));
    copy.#sleepers = this.#sleepers.map((sleeper) => ({
      ...sleeper,
      wake: rebinding.wake(actor_of(sleeper.thread)),
    }));
    copy.#current = this.#current;
    copy.#continued = this.#continued;
    copy.#holds_turn = this.#holds_turn;
    copy.#steps = this.#steps;
    copy.#turn = this.#turn;
    return copy;
  }

  get step(): number {
    return this.#steps;
  }

  /** Whose turn it is; `undefined`: the order has not begun, or has ended. */
  get turn(): number | undefined {
    return this.#turn;
  }

  is_dead(actor: number): boolean {
    return this.#dead.has(actor);
  }

  /** A call begins with the next operation of its actor, whichever that is: not before there is no way around it. */
  begin_with_next(call: Call): void {
    if (this.#turn === undefined) {
      call.began = this.#steps;
      return;
    }
    const others = [...Array(this.actors).keys()].filter((other) => other !== call.actor);
    const accesses = others.map((other) => ({ thing: `answers of ${other}`, writes: false }));
    this.#beginning.set(call.actor, { accesses, call });
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

  /** An actor is held before an operation. */
  hold(actor: number, held: Held): void {
    const thread = this.#thread_of(actor);
    if (!this.#dead.has(actor)) {
      this.#requests.push({ thread, held });
    }
  }

  /** Whoever has the turn waits for time to pass. */
  sleep(wake: (thread: number) => void): void {
    const actor = this.#turn ?? 0;
    if (!this.#dead.has(actor)) {
      const thread = this.#thread_of(actor);
      const is_awake = this.#has_stopped_holder || (this.#looks.has_news(thread) ?? true);
      this.#sleepers.push({ thread, is_awake, wake });
    }
  }

  /** An actor does what it does before it is held for the first time. */
  begin(actor: number, start: () => void): void {
    this.#current = actor * THREADS_PER_ACTOR;
    this.#continued = true; // its first operation is a new thread's
    this.#turn = actor;
    start();
  }

  /** All have begun: nobody has the turn. */
  all_have_begun(): void {
    this.#current = undefined;
  }

  end(): void {
    this.#turn = undefined;
  }

  /** Lets one go on. Returns what it does; `undefined`: the order has come to its end, or is not to go on. */
  next(order: Order, guide: Guide): { thread: number; label: () => string } | undefined {
    const victim = guide.before?.(this.#steps);
    if (victim !== undefined) {
      this.#kill(victim);
    }
    if (this.#requests.length === 0) {
      this.#sleepers.forEach((sleeper) => (sleeper.is_awake = true));
    }
    if (this.#requests.length + this.#sleepers.length === 0) {
      return undefined;
    }
    if (this.#steps >= MAX_STEPS) {
      order.problem = `no end after ${MAX_STEPS} operations`;
      return undefined;
    }
    const wanted = guide.prefix[this.#steps];
    const chosen = wanted === undefined ? this.#choose(order, guide) : this.#waiting(wanted);
    const accesses = this.#accesses_of(chosen);
    if (guide.in_full !== true && guide.is_known !== undefined) {
      this.#interrupt(chosen);
    }
    const is_new = this.#steps >= guide.prefix.length;
    if (is_new && (this.#interrupted.has(chosen.thread) || this.#is_known(guide, chosen, accesses))) {
      order.was_known = true;
      return undefined;
    }
    order.choices.push(chosen.thread);
    this.#causality.happen(chosen.thread, accesses);
    this.#interrupted.happen(accesses);
    if (this.#steps >= guide.prefix.length - 1) {
      guide.note?.({ actor: actor_of(chosen.thread), accesses }); // what came before was noted in another order
    }
    this.#perform(chosen, accesses);
    if (guide.in_full === true && accesses.some(({ writes }) => writes)) {
      this.#sleepers.forEach((sleeper) => (sleeper.is_awake ||= actor_of(sleeper.thread) !== actor_of(chosen.thread)));
    }
    return { thread: chosen.thread, label: () => ("held" in chosen ? chosen.held.label() : "wakes") };
  }

  #is_known(guide: Guide, { thread }: Request | Sleeper, accesses: readonly Access[]): boolean {
    return guide.is_known?.(this.#key_after(thread, accesses), this.#interrupted.after(accesses)) === true;
  }

  /** What has happened then; and who can go on without a reason, since nobody else could. */
  #key_after(thread: number, accesses: readonly Access[]): number {
    const idle = this.#sleepers.filter((one) => one.is_awake && this.#looks.has_news(one.thread) === false);
    return this.#causality.after(
      thread,
      accesses,
      idle.map((one) => one.thread),
    );
  }

  /** Who could go on, and does not; behind an operation that holds the turn nobody can be interrupted. */
  #interrupt(chosen: Request | Sleeper): void {
    const left = this.#going_on;
    if (left !== undefined && left !== chosen && !left.held.holds_turn) {
      this.#interrupted.add(left.thread, this.#accesses_of(left));
    }
  }

  get #going_on(): Request | undefined {
    return this.#requests.find(({ thread }) => thread === this.#current);
  }

  #ready(going_on: Request | undefined): (Request | Sleeper)[] {
    if (this.#holds_turn && going_on) {
      return [going_on];
    }
    const ready = [...this.#requests, ...this.#sleepers.filter(({ is_awake }) => is_awake)];
    return ready.sort((a, b) => a.thread - b.thread);
  }

  /** Who has to go on, in an order that is gone through again. */
  #waiting(wanted: number): Request | Sleeper {
    const bound = this.#holds_turn && this.#going_on;
    const chosen =
      this.#requests.find(({ thread }) => thread === wanted) ??
      this.#sleepers.find(({ thread, is_awake }) => is_awake && thread === wanted);
    if (chosen === undefined || (bound && chosen !== bound)) {
      throw new Error(`step ${this.#steps}: ${wanted} cannot go on; the run is not the same as before`);
    }
    return chosen;
  }

  #choose(order: Order, { in_full, is_last = false }: Guide): Request | Sleeper {
    const going_on = this.#going_on;
    const ready = this.#ready(going_on);
    const awake = ready.filter((one) => "held" in one);
    const is_free = ({ thread }: Request | Sleeper) => !this.#interrupted.has(thread);
    const picked = (going_on ?? awake.find(is_free) ?? awake[0] ?? ready[0]) as Request | Sleeper;
    const is_alone =
      in_full !== true &&
      picked === going_on &&
      (is_last || (going_on.held.is_immediate && !this.#beginning.has(actor_of(going_on.thread))));
    const others = is_alone ? [] : ready.filter((one) => one !== picked && is_free(one));
    order.decisions.push({
      chosen: picked.thread,
      others: others.map((one) => this.#other(one, going_on, awake.length > 0)),
    });
    return picked;
  }

  #other(one: Request | Sleeper, going_on: Request | undefined, somebody_is_awake: boolean): Other {
    const accesses = this.#accesses_of(one);
    const { thread } = one;
    const held = this.#interrupted.after(accesses);
    const other = {
      thread,
      preempts: "wake" in one && somebody_is_awake,
      key: this.#key_after(thread, accesses),
    };
    if (going_on === undefined) {
      return { ...other, held };
    }
    const left = this.#accesses_of(going_on);
    if (!going_on.held.holds_turn && !conflict(left, accesses)) {
      held.push(going_on.thread);
    }
    const actor = actor_of(going_on.thread);
    const has_more = [...this.#requests, ...this.#sleepers].some(
      (more) => more !== going_on && actor_of(more.thread) === actor,
    );
    return {
      ...other,
      preempts: true,
      held,
      instead_of: going_on.held.holds_turn || has_more ? undefined : { actor, accesses: left },
    };
  }

  #perform(chosen: Request | Sleeper, accesses: readonly Access[]): void {
    const { thread } = chosen;
    const actor = actor_of(thread);
    this.#steps += 1;
    this.#current = thread;
    this.#continued = false;
    this.#turn = actor;
    const beginning = this.#beginning.get(actor);
    if (beginning !== undefined) {
      beginning.call.began = this.#steps;
      this.#beginning.delete(actor);
    }
    if ("wake" in chosen) {
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== chosen);
      this.#looks.forget(thread);
      this.#holds_turn = false;
      chosen.wake(thread);
      return;
    }
    this.#requests = this.#requests.filter((request) => request !== chosen);
    this.#looks.touch(thread, accesses);
    for (const sleeper of this.#sleepers) {
      sleeper.is_awake ||= this.#looks.has_news(sleeper.thread) ?? true;
    }
    this.#holds_turn = chosen.held.holds_turn;
    chosen.held.perform(thread);
  }

  #accesses_of(one: Request | Sleeper): Access[] {
    const own = own_of(actor_of(one.thread));
    const begun = this.#beginning.get(actor_of(one.thread))?.accesses ?? [];
    return "wake" in one ? [own, ...begun] : [own, ...begun, ...one.held.accesses()];
  }

  #kill(actor: number): void {
    this.#dead.add(actor);
    this.#requests = this.#requests.filter(({ thread }) => actor_of(thread) !== actor);
    this.#sleepers = this.#sleepers.filter(({ thread }) => actor_of(thread) !== actor);
    this.#sleepers.forEach((sleeper) => (sleeper.is_awake = true));
  }
}

const OWN: Access[] = [];

/** What is in an actor's memory: its operations stay in their order. */
function own_of(actor: number): Access {
  return (OWN[actor] ??= { thing: `actor ${actor}`, writes: true });
}
