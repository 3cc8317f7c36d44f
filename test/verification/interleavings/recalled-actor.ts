import { Answering } from "./actor.js";
import type { Access } from "./causality.js";
import { Asking } from "./actor-layer.js";
import { perform, type Place } from "./disk-operation.js";
import type { Call } from "./history.js";
import { sees, wakes, type Event, type Moment } from "./memory.js";
import type { Held, Operation } from "./order.js";
import type { Scheduler } from "./scheduler.js";

/** What there is while actors are recalled. */
export interface RecalledWorld {
  scheduler: Scheduler;
  place: Place;
  calls: Call[];
  /** Somebody has seen something new: what it does then is not known. */
  is_left: boolean;
}

/** How far an actor has come. */
interface State {
  moment: Moment;
  /** The inodes of what it has opened, and how much of it is open. */
  files: readonly number[];
  open: number;
  has_ended?: boolean;
  call?: Call | undefined;
}

/** Somebody who does what it did before when it saw the same. */
export class RecalledActor {
  has_ended: boolean;
  /** How many files. */
  open: number;
  readonly #number: number;
  readonly #world: RecalledWorld;
  readonly #files: number[];
  #moment: Moment;
  #call: Call | undefined;

  constructor(number: number, { moment, files, open, has_ended = false, call }: State, world: RecalledWorld) {
    this.#number = number;
    this.#world = world;
    this.#moment = moment;
    this.#files = [...files];
    this.#call = call;
    this.open = open;
    this.has_ended = has_ended;
  }

  copy(world: RecalledWorld, call_of: (call: Call) => Call): RecalledActor {
    const { open, has_ended } = this;
    const call = this.#call && call_of(this.#call);
    return new RecalledActor(this.#number, { moment: this.#moment, files: this.#files, open, has_ended, call }, world);
  }

  begin(): void {
    this.#go_on();
  }

  wakes(thread: number): void {
    this.#sees(wakes(thread));
  }

  /** What it asks for is done. */
  performs(operation: Operation, thread: number): void {
    const { seen, error } = operation.perform();
    const { event } = operation;
    const opens = event.kind === "asks" && /^(open|create)$/.test(event.operation.name);
    this.open += opens && error === undefined ? 1 : 0;
    this.#sees(sees(thread, seen));
  }

  request_of(event: Event): RecalledRequest {
    const { place } = this.#world;
    if (event.kind === "asks") {
      return new RecalledRequest(this, new Asking(event, place, this.#files));
    }
    if (event.kind === "is answered" && this.#call !== undefined) {
      return new RecalledRequest(this, new Answering(this.#call, event, () => this.#world.scheduler.step));
    }
    throw new Error(`nobody waits where somebody ${event.kind}`);
  }

  #sees(seen: string): void {
    if (this.#moves(seen)) {
      this.#go_on();
    }
  }

  /** Whether it is known what it does when it sees this. */
  #moves(seen: string): boolean {
    const next = this.#moment.next.get(seen);
    if (next?.is_known !== true) {
      this.#world.is_left = true;
      return false;
    }
    this.#moment = next;
    return true;
  }

  #go_on(): void {
    for (;;) {
      for (const event of this.#moment.events) {
        this.#do(event);
      }
      const { at_once } = this.#moment;
      if (at_once === undefined) {
        return;
      }
      this.open -= at_once.name === "file.close" ? 1 : 0;
      if (!this.#moves(perform(at_once, this.#world.place, this.#files).seen)) {
        return;
      }
    }
  }

  #do(event: Event): void {
    const { scheduler, calls } = this.#world;
    switch (event.kind) {
      case "sleeps":
        scheduler.sleep((thread) => this.wakes(thread));
        return;
      case "calls":
        this.#call = { ...event.call, began: 0 };
        calls.push(this.#call);
        scheduler.begin_with_next(this.#call);
        return;
      case "ends":
        this.has_ended = true;
        return;
      default:
        scheduler.hold(this.#number, this.request_of(event));
    }
  }
}

/** Something that a recalled actor is about to do. */
export class RecalledRequest implements Held {
  readonly holds_turn: boolean;
  readonly is_immediate: boolean;
  readonly #actor: RecalledActor;
  readonly #operation: Operation;

  constructor(actor: RecalledActor, operation: Operation) {
    this.#actor = actor;
    this.#operation = operation;
    this.holds_turn = operation.holds_turn;
    this.is_immediate = operation.is_immediate;
  }

  /** The same of another actor. */
  of(actor: RecalledActor): RecalledRequest {
    return actor.request_of(this.#operation.event);
  }

  label(): string {
    return this.#operation.label();
  }

  accesses(): Access[] {
    return this.#operation.accesses();
  }

  perform(thread: number): void {
    this.#actor.performs(this.#operation, thread);
  }
}
