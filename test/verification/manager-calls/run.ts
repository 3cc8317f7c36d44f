import process from "node:process";
import { seeded_random } from "../../support/random.js";
import { describe_call } from "./calls.js";
import { describe_effect, Faults, FaultyStore } from "./faulty-store.js";
import { Ledger, type Finding } from "./ledger.js";
import { has_code, ManagerLife } from "./manager-life.js";
import { judge } from "./oracle.js";
import { Performer } from "./perform.js";
import type { Plan } from "./plan.js";
import { Script } from "./script.js";
import { open_stores, type Opened } from "./stores.js";
import { User, type UserParts } from "./user.js";
import type { VirtualTime } from "./virtual-time.js";
import { Waits } from "./waits.js";

/** Rounds in which every turn that is cancelled ends. */
const TURN_ROUNDS = 200;

export interface RunOptions {
  /** Hears of all that happens, a line at a time. */
  trace?: (line: string) => void;
  /** Opens other stores than the plan says, for tests of the oracle. */
  open?: (plan: Plan) => Opened;
}

/** Runs one sequence, brings everything to rest, and returns what is wrong then. */
export async function run_plan(plan: Plan, time: VirtualTime, options: RunOptions = {}): Promise<Finding[]> {
  time.restart(plan.seed);
  const ledger = new Ledger(options.trace);
  const opened = (options.open ?? open_stores)(plan);
  const unhandled = (error: unknown) => ledger.find("unhandled-rejection", String(error));
  process.on("unhandledRejection", unhandled);
  const emit_warning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined; // a listener of errors that fails itself becomes one
  const stack_trace_limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0; // most errors here are wanted, and their stacks cost a tenth of the time
  try {
    await new Run(plan, { ledger, opened, time }).perform();
    await time.round();
    await time.round();
  } finally {
    process.off("unhandledRejection", unhandled);
    process.emitWarning = emit_warning;
    Error.stackTraceLimit = stack_trace_limit;
  }
  return ledger.findings;
}

class Run {
  readonly #plan: Plan;
  readonly #ledger: Ledger;
  readonly #waits: Waits;
  readonly #opened: Opened;
  readonly #users: User[];
  readonly #performer: Performer;
  #stores = 0;

  constructor(plan: Plan, { ledger, opened, time }: { ledger: Ledger; opened: Opened; time: VirtualTime }) {
    this.#plan = plan;
    this.#ledger = ledger;
    this.#waits = new Waits(time);
    this.#opened = opened;
    const script = new Script();
    const open_life: UserParts["open_life"] = (user, conversation) => this.#open_life(user, conversation);
    this.#users = ([0, 1] as const)
      .slice(0, plan.users)
      .map((number) => new User(number, { plan, script, faults: new Faults(), open_life }));
    this.#performer = new Performer({
      ...{ ledger, script, waits: this.#waits },
      ...{ has_revisions: this.#opened.has_revisions, users: this.#users },
    });
  }

  async perform(): Promise<void> {
    for (const [n, call] of this.#plan.calls.entries()) {
      this.#ledger.trace(() => `${n + 1}. ${describe_call(call)}`);
      await this.#performer.perform(call, n);
    }
    this.#ledger.trace(() => "nothing fails any more");
    if (await this.#come_to_rest()) {
      await judge(this.#opened.stores[0], this.#users, this.#ledger);
    }
    for (const life of this.#lives) {
      life.manager[Symbol.dispose]();
    }
  }

  get #lives(): ManagerLife[] {
    return this.#users.flatMap(({ lives }) => lives);
  }

  /** Ends all turns and faults, and waits for everything that was begun. Resolves with whether all has ended. */
  async #come_to_rest(): Promise<boolean> {
    for (const user of this.#users) {
      user.faults.stop();
    }
    await this.#waits.until(() => {
      this.#users.forEach((user) => user.cancel_all());
      return false;
    }, 5);
    await this.#waits.until(() => this.#users.every((user) => user.is_at_rest), TURN_ROUNDS);
    if (!this.#has_ended(await this.#waits.ended())) {
      return false;
    }
    for (let time = 1; time <= 2; time += 1) {
      const flushes = this.#lives.map((life, n) => this.#flush(life, `the last flush of manager ${n + 1}`));
      if (!this.#has_ended(await this.#waits.ended(flushes))) {
        return false;
      }
    }
    this.#lives.forEach((life) => life.look());
    return true;
  }

  #has_ended(waiting: readonly { what: string }[]): boolean {
    waiting.forEach(({ what }) => this.#ledger.find("hang", `${what} never settles`));
    return waiting.length === 0;
  }

  #flush(life: ManagerLife, what: string) {
    const rejected = (error: unknown) => {
      life.tell(error, "flush");
      if (!(has_code(error, "conflict") && life.options.on_conflict === "error")) {
        this.#ledger.find("flush-rejected", `${what} rejects with ${String(error)}`);
      }
    };
    return this.#waits.add(what, life.manager.flush(), { rejected });
  }

  #open_life(user: User, conversation: User["conversation"]): ManagerLife {
    this.#stores += 1;
    const { stores, without } = this.#opened;
    const ledger = this.#ledger;
    const store = new FaultyStore(stores[user.number], {
      faults: user.faults,
      effects: {
        before: (method, args) => {
          ledger.trace(() => describe_effect(user.number, method, args));
          ledger.before_effect(method, args);
        },
        after: (method, args, writer) => {
          ledger.after_effect(method, args, writer);
          life.note_written(args[0] as string, ledger.shadows.sessions.get(args[0] as string)?.replies ?? []);
          const is_current = !user.lives.includes(life) || user.life === life; // an earlier one may still write
          if (is_current && (method === "save" || method === "replace")) {
            user.own(args[0] as string);
          }
        },
      },
      latency: this.#plan.latency,
      random: seeded_random(this.#plan.seed + 1000 * this.#stores),
      without,
    });
    const life: ManagerLife = new ManagerLife(store, conversation, { options: this.#plan.options, ledger });
    life.on_conflict = ({ id, fork_id }) => {
      ledger.move_unsaved(life, id, fork_id);
      const is_of_child = ledger.shadows.kind_of(id) === "child"; // its own conversation may go on, too
      if (this.#performer.writes_alone(life) && !is_of_child && !ledger.was_deletion_asked(id)) {
        ledger.find("needless-conflict", `${id} goes on as ${fork_id}`);
      }
    };
    return life;
  }
}
