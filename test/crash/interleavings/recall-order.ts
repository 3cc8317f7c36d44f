import { LoggedDisk } from "../logged-disk.js";
import { MemoryDisk } from "../memory-disk.js";
import { answering } from "./actor.js";
import { to_be_done } from "./actor-layer.js";
import { perform, type Outcome, type Place } from "./disk-operation.js";
import { found_in } from "./found.js";
import type { Call } from "./history.js";
import { sees, wakes, type Beginning, type Event, type Memory, type Moment } from "./memory.js";
import type { Guide, Order } from "./order.js";
import { OBSERVER, scheduler_of, type Scenario } from "./run-order.js";
import type { Scheduler } from "./scheduler.js";

/** An order that was not run. */
export interface Recalled {
  /** As far as it is known: up to where somebody sees something that it has not seen before. */
  order: Order;
  /** What it comes to; `undefined`: that is not known, or it does not come to its end as it should. */
  found?: string;
}

/** Goes through an order by what the actors did before when they saw the same; nothing of the store is run. */
export function recall_order(scenario: Scenario, memory: Memory, guide: Guide): Recalled | undefined {
  const { beginning, bytes } = memory;
  if (beginning === undefined) {
    return undefined;
  }
  const scheduler = scheduler_of(scenario);
  const disk = beginning.disk.copy(new MemoryDisk(() => scheduler.turn ?? OBSERVER));
  const place = { disk: new LoggedDisk(disk, { contents: bytes, is_logged: false }), bytes };
  const calls: Call[] = [];
  const actors = memory.beginnings.map(
    (moment, number) => new RecalledActor(number, moment, { scheduler, place, calls, beginning }),
  );
  const order = scheduler.recall(
    actors.map((actor) => () => actor.begin()),
    guide,
    () => actors.every(({ has_ended }) => has_ended),
  );
  const is_whole = !order.was_known && !scheduler.is_left && order.problem === undefined;
  if (!is_whole || actors.some(({ open }) => open > 0)) {
    return { order };
  }
  return { order, found: found_in({ calls, disk, bytes, start: beginning.sessions }) };
}

/** Somebody who does what it has always done. */
class RecalledActor {
  has_ended = false;
  /** How many files. */
  open: number;
  readonly #number: number;
  readonly #scheduler: Scheduler;
  readonly #place: Place;
  readonly #calls: Call[];
  readonly #files: number[];
  #moment: Moment;
  #call: Call | undefined;

  constructor(
    number: number,
    moment: Moment,
    {
      scheduler,
      place,
      calls,
      beginning: { files, open },
    }: { scheduler: Scheduler; place: Place; calls: Call[]; beginning: Beginning },
  ) {
    this.#number = number;
    this.#moment = moment;
    this.#scheduler = scheduler;
    this.#place = place;
    this.#calls = calls;
    this.#files = [...(files[number] ?? [])];
    this.open = open[number] ?? 0;
  }

  begin(): void {
    this.#go_on();
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
      this.#scheduler.leave();
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
      if (!this.#moves(perform(at_once, this.#place, this.#files).seen)) {
        return;
      }
    }
  }

  #do(event: Event): void {
    switch (event.kind) {
      case "asks": {
        const { operation, holds_turn } = event;
        const { perform, ...rest } = to_be_done(operation, this.#place, this.#files);
        const opens = operation.name === "open" || operation.name === "create";
        this.#hold({ ...rest, holds_turn, is_immediate: false }, () => {
          const outcome = perform();
          this.open += opens && outcome.error === undefined ? 1 : 0;
          return outcome;
        });
        return;
      }
      case "sleeps":
        this.#scheduler.sleep((thread) => this.#sees(wakes(thread)));
        return;
      case "calls":
        this.#call = { ...event.call, began: 0 };
        this.#calls.push(this.#call);
        this.#scheduler.begin_with_next(this.#call);
        return;
      case "is answered": {
        const { perform, ...rest } = answering(this.#call as Call, event.answer, this.#scheduler);
        this.#hold(rest, perform);
        return;
      }
      case "ends":
        this.has_ended = true;
    }
  }

  #hold(request: Parameters<Scheduler["hold"]>[1], perform: () => Outcome): void {
    this.#scheduler.hold(this.#number, request, (thread) => this.#sees(sees(thread, perform().seen)));
  }
}
