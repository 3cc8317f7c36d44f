import type { Message } from "@simulacra-ai/core";
import { SessionError, type SessionStore } from "@simulacra-ai/session";
import type { seeded_random } from "../../support/random.js";
import type { FaultyMethods } from "./calls.js";
import { texts_of } from "./texts.js";
import { METHODS, type Method } from "./stores.js";
import { rounds } from "./virtual-time.js";

const FAULTY: Record<FaultyMethods, readonly Method[]> = {
  saves: ["save", "append", "replace"],
  reads: ["load", "list"],
  update: ["update"],
  set_draft: ["set_draft"],
  delete: ["delete"],
  flush: ["flush"],
  all: METHODS,
};

interface Fault {
  methods: readonly Method[];
  when: "before" | "after";
  skip: number;
  times: number;
}

/** Faults to come, of all stores of one user. */
export class Faults {
  #planned: Fault[] = [];

  plan({ methods, ...rest }: Omit<Fault, "methods"> & { methods: FaultyMethods }): void {
    this.#planned.push({ methods: FAULTY[methods], ...rest });
  }

  stop(): void {
    this.#planned = [];
  }

  /** Takes the fault that is planned for this call, if one is. */
  take(method: Method): Fault["when"] | undefined {
    for (const fault of this.#planned.filter(({ methods, times }) => times > 0 && methods.includes(method))) {
      if (fault.skip > 0) {
        fault.skip -= 1;
      } else {
        fault.times -= 1;
        return fault.when;
      }
    }
    return undefined;
  }
}

/** Hears of the calls of a store, when they take effect. */
export interface Effects {
  before(method: Method, args: readonly unknown[], store: FaultyStore): void;
  after(method: Method, args: readonly unknown[], store: FaultyStore): void;
}

export interface FaultyStoreOptions {
  faults: Faults;
  effects: Effects;
  /** At most so many rounds of the event loop before a call takes effect, and after it. */
  latency: number;
  random: ReturnType<typeof seeded_random>;
  without: readonly Method[];
}

/**
 * A store whose calls take their time and sometimes fail, before or after they take effect. Each manager has one of its
 * own. The capabilities are those of the store below, as own properties, so they count.
 */
export class FaultyStore implements SessionStore {
  readonly #options: FaultyStoreOptions;
  declare list: SessionStore["list"];
  declare load: SessionStore["load"];
  declare save: SessionStore["save"];
  declare delete: SessionStore["delete"];

  constructor(inner: SessionStore, options: FaultyStoreOptions) {
    this.#options = options;
    for (const method of METHODS) {
      const original = Reflect.get(inner, method) as ((...args: unknown[]) => Promise<unknown>) | undefined;
      if (original !== undefined && !options.without.includes(method)) {
        const perform = (args: unknown[]) => Reflect.apply(original, inner, args);
        Object.assign(this, { [method]: (...args: unknown[]) => this.#call(method, args, perform) });
      }
    }
  }

  async #call(method: Method, args: unknown[], perform: (args: unknown[]) => Promise<unknown>): Promise<unknown> {
    const { faults, effects } = this.#options;
    const fault = faults.take(method);
    await this.#take_time();
    if (fault === "before") {
      throw storage_error(method, "had no effect");
    }
    effects.before(method, args, this);
    const result = await perform(args);
    effects.after(method, args, this);
    await this.#take_time();
    if (fault === "after") {
      throw storage_error(method, "took effect");
    }
    return result;
  }

  #take_time(): Promise<void> {
    const { random, latency } = this.#options;
    return rounds(random.below(latency + 1));
  }
}

/** The call of a store as a reader would write it. */
export function describe_effect(user: 0 | 1, method: Method, args: readonly unknown[]): string {
  const told = args.map((arg) => (Array.isArray(arg) ? texts_of(arg as Message[]).join() : JSON.stringify(arg)));
  return `    store of ${"AB"[user]}: ${method}(${told.join("; ")})`;
}

function storage_error(method: Method, what: string): SessionError {
  return new SessionError("storage", `fault: ${method} ${what}`);
}
