import type { DiskOperation, Outcome } from "./disk-operation.js";
import type { Call } from "./history.js";
import { sees, wakes, type Event, type Recorder } from "./memory.js";
import { actor_of, new_order, type Guide, type Operation, type Order } from "./order.js";
import { Scheduler } from "./scheduler.js";
import { VirtualTime } from "./virtual-time.js";

/** Schedules actors that are run: they ask, and wait for an answer. */
export class LiveScheduler extends Scheduler {
  readonly #recorders: readonly Recorder[];

  constructor(scheduling: ConstructorParameters<typeof Scheduler>[0], recorders: readonly Recorder[] = []) {
    super(scheduling);
    this.#recorders = recorders;
  }

  /** An actor does something of its own. */
  does(actor: number, event: Event): void {
    if (this.turn !== undefined) {
      this.#recorders[actor]?.does(event);
    }
  }

  override begin_with_next(call: Call): void {
    const { actor, id, asked } = call;
    this.does(actor, { kind: "calls", call: { actor, id, asked } });
    super.begin_with_next(call);
  }

  /** Waits for its turn, then does it. Outside of an order everything is done at once. */
  async ask(actor: number, operation: Operation): Promise<unknown> {
    if (this.turn === undefined) {
      return value_of(operation.perform());
    }
    this.does(actor, operation.event);
    return new Promise((resolve, reject) => {
      this.hold(actor, {
        label: () => operation.label(),
        accesses: () => operation.accesses(),
        holds_turn: operation.holds_turn,
        is_immediate: operation.is_immediate,
        perform: (thread) => {
          const { seen, value, error } = operation.perform();
          this.#recorders[actor]?.goes_on(sees(thread, seen));
          if (error === undefined) {
            resolve(value);
          } else {
            reject(error);
          }
        },
      });
    });
  }

  /** Nobody else can see this, or come between. */
  async do_at_once(actor: number, operation: DiskOperation, perform: () => Outcome): Promise<unknown> {
    const outcome = perform();
    if (this.turn !== undefined) {
      this.#recorders[actor]?.at_once(operation, outcome.seen);
    }
    return value_of(outcome);
  }

  /** Runs what the actors begin to its end. `ended`: whether all of them have. */
  async run(begin: (() => void)[], guide: Guide, has_ended: () => boolean): Promise<Order> {
    const order = new_order();
    const time = new VirtualTime(
      () => this.turn ?? 0,
      (wake) => this.#sleep(wake, time),
    );
    try {
      time.begin();
      for (const [actor, start] of begin.entries()) {
        this.begin(actor, start);
        await settled();
      }
      this.all_have_begun();
      for (let done = this.next(order, guide); done !== undefined; done = this.next(order, guide)) {
        const { thread, label } = done;
        order.trace.push(() => `${actor_of(thread)} ${label()}`);
        await settled(); // one operation after another
      }
    } finally {
      this.end();
      time.end();
      this.#recorders.forEach((recorder) => recorder.pauses());
    }
    if (!order.was_known && order.problem === undefined && !has_ended()) {
      order.problem = "somebody waits for ever";
    }
    return order;
  }

  #sleep(wake: () => void, time: VirtualTime): void {
    const actor = this.turn ?? 0;
    this.does(actor, { kind: "sleeps" });
    this.sleep((thread) => {
      time.pass(actor);
      this.#recorders[actor]?.goes_on(wakes(thread));
      wake();
    });
  }
}

/** Until all that can go on without a turn has gone on: ticks come when no promise is left to go on with. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

function value_of({ value, error }: Outcome): unknown {
  if (error !== undefined) {
    throw error;
  }
  return value;
}
