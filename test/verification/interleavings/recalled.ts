import { LoggedDisk } from "../crash-states/logged-disk.js";
import { MemoryDisk } from "../crash-states/memory-disk.js";
import type { Bytes } from "./bytes.js";
import { found_in } from "./found.js";
import type { Call } from "./history.js";
import type { Memory } from "./memory.js";
import { new_order, type Guide, type Order } from "./order.js";
import type { RecalledRequest } from "./recalled-actor.js";
import { RecalledActor, type RecalledWorld } from "./recalled-actor.js";
import { OBSERVER, scheduling_of, type Scenario } from "./run-order.js";
import { Scheduler } from "./scheduler.js";

/** An order that was not run. */
export interface Recalled {
  /** As far as it is known: up to where somebody sees something that it has not seen before. */
  order: Order;
  /** What it comes to; `undefined`: that is not known, or it does not come to its end as it should. */
  found?: string;
}

/** An order that is gone through, by what the actors did before when they saw the same; nothing of the store is run. */
export class RecalledOrder {
  readonly #memory: Memory;
  readonly #world: RecalledWorld;
  readonly #actors: RecalledActor[];
  readonly #choices: number[];

  private constructor(memory: Memory, world: RecalledWorld, actors: RecalledActor[], choices: number[]) {
    this.#memory = memory;
    this.#world = world;
    this.#actors = actors;
    this.#choices = choices;
  }

  /** `undefined`: nothing was run so far. */
  static begin(scenario: Scenario, memory: Memory): RecalledOrder | undefined {
    const { beginning, beginnings, bytes } = memory;
    if (beginning === undefined) {
      return undefined;
    }
    const world = world_of(new Scheduler(scheduling_of(scenario)), beginning.disk, bytes);
    const actors = beginnings.map((moment, number) => {
      const { files, open } = beginning;
      return new RecalledActor(number, { moment, files: files[number] ?? [], open: open[number] ?? 0 }, world);
    });
    actors.forEach((actor, number) => world.scheduler.begin(number, () => actor.begin()));
    world.scheduler.all_have_begun();
    return new RecalledOrder(memory, world, actors, []);
  }

  /** The same moment of the order, apart from this one. */
  copy(): RecalledOrder {
    const { scheduler, place, calls } = this.#world;
    const copies = new Map(calls.map((call) => [call, { ...call }]));
    const call_of = (call: Call) => copies.get(call) ?? call;
    const actors: RecalledActor[] = [];
    const of = (actor: number) => actors[actor] as RecalledActor;
    const world = world_of(scheduler, place.disk.disk, place.bytes);
    world.calls = [...copies.values()];
    actors.push(...this.#actors.map((actor) => actor.copy(world, call_of)));
    world.scheduler = scheduler.copy({
      call: call_of,
      held: (held, actor) => (held as RecalledRequest).of(of(actor)),
      wake: (actor) => (thread) => of(actor).wakes(thread),
    });
    return new RecalledOrder(this.#memory, world, actors, [...this.#choices]);
  }

  /** Goes on for as many operations as others have gone through before. */
  advance(prefix: readonly number[], length: number): void {
    const order = new_order(this.#choices);
    while (order.choices.length < length) {
      this.#world.scheduler.next(order, { prefix, is_known: () => false });
    }
  }

  /** Goes on to the end, or for as long as it is known. */
  go_on(guide: Guide): Recalled {
    const { scheduler, place, calls } = this.#world;
    const order = new_order(this.#choices);
    while (!this.#world.is_left && scheduler.next(order, guide) !== undefined) {
      // one operation after another
    }
    scheduler.end();
    const has_ended = this.#actors.every((actor) => actor.has_ended && actor.open === 0);
    if (order.was_known || this.#world.is_left || order.problem !== undefined || !has_ended) {
      return { order };
    }
    const { beginning = { sessions: new Map() }, bytes } = this.#memory;
    return { order, found: found_in({ calls, disk: place.disk.disk, bytes, start: beginning.sessions }) };
  }
}

function world_of(scheduler: Scheduler, disk: MemoryDisk, bytes: Bytes): RecalledWorld {
  const world = { scheduler, calls: [], is_left: false };
  const copy = disk.copy(new MemoryDisk(() => world.scheduler.turn ?? OBSERVER));
  return Object.assign(world, {
    place: { disk: new LoggedDisk(copy, { contents: bytes, is_logged: false }), bytes },
  });
}
