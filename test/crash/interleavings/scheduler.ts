import { Causality, type Access } from "./causality.js";
import type { DiskOperation, Outcome } from "./disk-operation.js";
import type { Call } from "./history.js";
import { conflict, Interrupted } from "./interrupted.js";
import { sees, wakes, type Event, type Recorder } from "./memory.js";
import { actor_of, THREADS_PER_ACTOR, type Guide, type Operation, type Order, type Other } from "./order.js";
import { VirtualTime } from "./virtual-time.js";

/** One operation that an actor is about to do, and is held at. */
type Request = Omit<Operation, "perform" | "event"> & { thread: number; perform(): void };

/** Somebody who waits for time to pass. */
interface Sleeper {
  thread: number;
  label(): string;
  /** Something that it looked at last has changed since, or nothing else can go on. */
  is_awake: boolean;
  wake(thread: number): void;
}

const MAX_STEPS = 4_000;
/** Of the last operations before somebody waits: what they have looked at is what they wait for. */
const LOOKED_AT = 4;

/**
 * Lets actors go on one operation at a time, in an order that it is given. An actor has as many threads as there are
 * operations that it waits for at once. Who waits for time to pass can go on when somebody else has changed
 * something, or nobody else can go on.
 */
export class Scheduler {
  readonly time: VirtualTime;
  /** How many there are. */
  readonly actors: number;
  /** Waiting for time to pass is never waiting for others: a holder of a lock may be stopped for as long as one likes. */
  readonly #has_stopped_holder: boolean;
  readonly #causality = new Causality();
  readonly #dead = new Set<number>();
  readonly #spawned = new Map<number, number>();
  readonly #interrupted = new Interrupted();
  /** What each thread has touched last, and whether others have changed it since. */
  readonly #looked_at = new Map<number, { accesses: readonly Access[]; is_changed: boolean }[]>();
  /** Calls that begin with whatever their actor does next. */
  readonly #beginning = new Map<number, { accesses: readonly Access[]; note: () => void }>();
  readonly #recorders: readonly Recorder[];
  #requests: Request[] = [];
  #sleepers: Sleeper[] = [];
  /** Who has the turn; `undefined`: nobody is held. */
  #current: number | undefined;
  /** The thread of the first operation that an actor asks for in its turn is the one that had the turn. */
  #continued = false;
  #holds_turn = false;
  #steps = 0;
  #is_running = false;
  #is_left = false;

  constructor({
    actors,
    has_stopped_holder,
    recorders = [],
  }: {
    actors: number;
    has_stopped_holder: boolean;
    recorders?: readonly Recorder[];
  }) {
    this.actors = actors;
    this.#has_stopped_holder = has_stopped_holder;
    this.#recorders = recorders;
    this.time = new VirtualTime((wake) => this.#sleep_until(wake));
  }

  /** Whose turn it is; `undefined`: the order has not begun, or has ended. */
  get turn(): number | undefined {
    return this.#is_running ? this.time.actor : undefined;
  }

  get step(): number {
    return this.#steps;
  }

  is_dead(actor: number): boolean {
    return this.#dead.has(actor);
  }

  /** An actor does something of its own. */
  does(actor: number, event: Event): void {
    if (this.#is_running) {
      this.#recorders[actor]?.does(event);
    }
  }

  /** A call begins with the next operation of its actor, whichever that is: not before there is no way around it. */
  begin_with_next(call: Call): void {
    if (!this.#is_running) {
      call.began = this.#steps;
      return;
    }
    const { actor, id, asked } = call;
    this.does(actor, { kind: "calls", call: { actor, id, asked } });
    this.#beginning.set(actor, {
      accesses: this.#answers_of_others(actor),
      note: () => {
        call.began = this.#steps;
      },
    });
  }

  #answers_of_others(actor: number): Access[] {
    const others = [...Array(this.actors).keys()].filter((other) => other !== actor);
    return others.map((other) => ({ thing: `answers of ${other}`, writes: false }));
  }

  /** Waits for its turn, then does it. Outside of an order everything is done at once. */
  async ask(actor: number, { event, perform, ...rest }: Operation): Promise<unknown> {
    if (!this.#is_running) {
      return value_of(perform());
    }
    this.does(actor, event);
    return new Promise((resolve, reject) => {
      this.hold(actor, rest, (thread) => {
        const { seen, value, error } = perform();
        this.#recorders[actor]?.goes_on(sees(thread, seen));
        if (error === undefined) {
          resolve(value);
        } else {
          reject(error);
        }
      });
    });
  }

  /** Nobody else can see this, or come between. */
  async do_at_once(actor: number, operation: DiskOperation, perform: () => Outcome): Promise<unknown> {
    const outcome = perform();
    if (this.#is_running) {
      this.#recorders[actor]?.at_once(operation, outcome.seen);
    }
    return value_of(outcome);
  }

  /** An actor is held before an operation. */
  hold(actor: number, operation: Omit<Request, "thread" | "perform">, perform: (thread: number) => void): void {
    const thread = this.#thread_of(actor);
    if (!this.#dead.has(actor)) {
      this.#requests.push({ ...operation, thread, perform: () => perform(thread) });
    }
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

  #sleep_until(wake: () => void): void {
    const actor = actor_of(this.#current ?? 0);
    this.does(actor, { kind: "sleeps" });
    this.sleep((thread) => {
      this.#recorders[actor]?.goes_on(wakes(thread));
      wake();
    });
  }

  /** Whoever has the turn waits for time to pass. */
  sleep(wake: (thread: number) => void): void {
    const thread = this.#current ?? 0;
    if (!this.#dead.has(actor_of(thread))) {
      const own = this.#thread_of(actor_of(thread));
      const is_awake = this.#has_stopped_holder || (this.#has_news(own) ?? true);
      this.#sleepers.push({ thread: own, label: () => "wakes", is_awake, wake });
    }
  }

  /** Runs what the actors begin to its end. `ended`: whether all of them have. */
  async run(begin: (() => void)[], guide: Guide, has_ended: () => boolean): Promise<Order> {
    const order = new_order();
    try {
      this.time.begin();
      for (const [actor, start] of begin.entries()) {
        this.#begin(actor, start);
        await settled();
      }
      this.#current = undefined;
      while (this.#next(order, guide)) {
        await settled(); // one operation after another
      }
    } finally {
      this.#end();
      this.time.end();
    }
    return this.#ended(order, has_ended);
  }

  /** The same, where the actors do at once what they do: they are only remembered. */
  recall(begin: (() => void)[], guide: Guide, has_ended: () => boolean): Order {
    const order = new_order();
    begin.forEach((start, actor) => this.#begin(actor, start));
    this.#current = undefined;
    while (this.#next(order, guide)) {
      // one operation after another
    }
    this.#end();
    return this.#ended(order, has_ended);
  }

  /** Nothing more is to happen in this order. */
  leave(): void {
    this.#is_left = true;
  }

  get is_left(): boolean {
    return this.#is_left;
  }

  #begin(actor: number, start: () => void): void {
    this.#is_running = true;
    this.#current = actor * THREADS_PER_ACTOR;
    this.#continued = true; // its first operation is a new thread's
    this.time.turn_of(actor);
    start();
  }

  #end(): void {
    this.#is_running = false;
    this.#recorders.forEach((recorder) => recorder.pauses());
  }

  #ended(order: Order, has_ended: () => boolean): Order {
    if (!order.was_known && !this.#is_left && order.problem === undefined && !has_ended()) {
      order.problem = "somebody waits for ever";
    }
    return order;
  }

  #next(order: Order, guide: Guide): boolean {
    const victim = guide.before?.(this.#steps);
    if (victim !== undefined) {
      this.#kill(victim);
    }
    if (this.#requests.length === 0) {
      this.#sleepers.forEach((sleeper) => (sleeper.is_awake = true));
    }
    const ready = this.#ready();
    const [first] = ready;
    if (first === undefined || this.#is_left) {
      return false;
    }
    if (this.#steps >= MAX_STEPS) {
      order.problem = `no end after ${MAX_STEPS} operations`;
      return false;
    }
    const chosen = this.#choose(order, guide, ready) ?? first;
    const accesses = this.#accesses_of(chosen);
    if (guide.in_full !== true && guide.is_known !== undefined) {
      this.#interrupt(chosen);
    }
    const is_new = this.#steps >= guide.prefix.length;
    if (is_new && (this.#interrupted.has(chosen.thread) || this.#is_known(guide, chosen, accesses))) {
      order.was_known = true;
      return false;
    }
    order.choices.push(chosen.thread);
    order.trace.push(() => `${actor_of(chosen.thread)} ${chosen.label()}`);
    this.#causality.happen(chosen.thread, accesses);
    this.#interrupted.happen(accesses);
    guide.note?.({ actor: actor_of(chosen.thread), accesses });
    this.#perform(chosen, accesses);
    if (guide.in_full === true && accesses.some(({ writes }) => writes)) {
      this.#sleepers.forEach((sleeper) => (sleeper.is_awake ||= actor_of(sleeper.thread) !== actor_of(chosen.thread)));
    }
    return true;
  }

  #is_known(guide: Guide, { thread }: Request | Sleeper, accesses: readonly Access[]): boolean {
    return guide.is_known?.(this.#key_after(thread, accesses), this.#interrupted.after(accesses)) === true;
  }

  /** What has happened then; and who can go on without a reason, since nobody else could. */
  #key_after(thread: number, accesses: readonly Access[]): number {
    const idle = this.#sleepers.filter((one) => one.is_awake && this.#has_news(one.thread) === false);
    return this.#causality.after(
      thread,
      accesses,
      idle.map((one) => one.thread),
    );
  }

  /** Whether others have changed what a thread has looked at last; `undefined`: it has looked at nothing. */
  #has_news(thread: number): boolean | undefined {
    return this.#looked_at.get(thread)?.some(({ is_changed }) => is_changed);
  }

  /** Who could go on, and does not; behind an operation that holds the turn nobody can be interrupted. */
  #interrupt(chosen: Request | Sleeper): void {
    const left = this.#going_on;
    if (left !== undefined && left !== chosen && !left.holds_turn) {
      this.#interrupted.add(left.thread, this.#accesses_of(left));
    }
  }

  get #going_on(): Request | undefined {
    return this.#requests.find(({ thread }) => thread === this.#current);
  }

  #ready(): (Request | Sleeper)[] {
    const bound = this.#holds_turn && this.#requests.find(({ thread }) => thread === this.#current);
    if (bound) {
      return [bound];
    }
    const ready = [...this.#requests, ...this.#sleepers.filter(({ is_awake }) => is_awake)];
    return ready.sort((a, b) => a.thread - b.thread);
  }

  #choose(order: Order, { prefix, in_full }: Guide, ready: (Request | Sleeper)[]): Request | Sleeper | undefined {
    const going_on = this.#going_on;
    const awake = ready.filter((one) => !("wake" in one));
    const wanted = prefix[this.#steps];
    const is_free = ({ thread }: Request | Sleeper) => !this.#interrupted.has(thread);
    const chosen =
      wanted === undefined
        ? (going_on ?? awake.find(is_free) ?? awake[0])
        : ready.find(({ thread }) => thread === wanted);
    if (wanted !== undefined && chosen === undefined) {
      throw new Error(`step ${this.#steps}: ${wanted} cannot go on; the run is not the same as before`);
    }
    const picked = chosen ?? ready[0];
    if (this.#steps >= prefix.length && picked !== undefined) {
      const is_alone =
        in_full !== true &&
        picked === going_on &&
        going_on.is_immediate &&
        !this.#beginning.has(actor_of(going_on.thread));
      const others = is_alone ? [] : ready.filter((one) => one !== picked && is_free(one));
      order.decisions.push({
        chosen: picked.thread,
        others: others.map((one) => this.#other(one, going_on, awake.length > 0)),
      });
    }
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
    if (!going_on.holds_turn && !conflict(left, accesses)) {
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
      instead_of: going_on.holds_turn || has_more ? undefined : { actor, accesses: left },
    };
  }

  #perform(chosen: Request | Sleeper, accesses: readonly Access[]): void {
    this.#steps += 1;
    this.#current = chosen.thread;
    this.#continued = false;
    this.#beginning.get(actor_of(chosen.thread))?.note();
    this.#beginning.delete(actor_of(chosen.thread));
    if ("wake" in chosen) {
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== chosen);
      this.#looked_at.set(chosen.thread, []);
      this.#holds_turn = false;
      this.time.pass(actor_of(chosen.thread));
      chosen.wake(chosen.thread);
    } else {
      this.#requests = this.#requests.filter((request) => request !== chosen);
      this.#change(chosen.thread, accesses);
      this.#holds_turn = chosen.holds_turn;
      this.time.turn_of(actor_of(chosen.thread));
      chosen.perform();
    }
  }

  /** Whoever has looked at what this changes has something new to find. */
  #change(thread: number, accesses: readonly Access[]): void {
    for (const [by, looks] of this.#looked_at) {
      for (const look of looks) {
        look.is_changed ||= actor_of(by) !== actor_of(thread) && conflict(look.accesses, accesses);
      }
    }
    for (const sleeper of this.#sleepers) {
      sleeper.is_awake ||= this.#has_news(sleeper.thread) ?? true;
    }
    this.#looked_at.set(
      thread,
      [...(this.#looked_at.get(thread) ?? []), { accesses, is_changed: false }].slice(-LOOKED_AT),
    );
  }

  #accesses_of(one: Request | Sleeper): Access[] {
    const own = own_of(actor_of(one.thread));
    const begun = this.#beginning.get(actor_of(one.thread))?.accesses ?? [];
    return "wake" in one ? [own, ...begun] : [own, ...begun, ...one.accesses()];
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

/** Until all that can go on without a turn has gone on: ticks come when no promise is left to go on with. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

function new_order(): Order {
  return { choices: [], decisions: [], trace: [], was_known: false };
}

function value_of({ value, error }: Outcome): unknown {
  if (error !== undefined) {
    throw error;
  }
  return value;
}
