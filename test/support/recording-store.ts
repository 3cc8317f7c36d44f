import { deferred } from "@simulacra-ai/core";
import type { SessionMetadata, SessionStore } from "@simulacra-ai/session";

const METHODS = ["list", "load", "save", "delete", "append", "replace", "update", "flush"] as const;
const WRITES: readonly StoreMethod[] = ["save", "delete", "append", "replace", "update"];

export type StoreMethod = (typeof METHODS)[number];

export interface StoreCall {
  method: StoreMethod;
  id: string | undefined;
  /** The messages handed over, as they were then. */
  messages: { id?: string }[] | undefined;
  /** The metadata handed over: the object itself. */
  metadata: Partial<SessionMetadata> | undefined;
}

type Interceptor = (perform: () => Promise<unknown>) => Promise<unknown>;

interface Planned {
  methods: readonly StoreMethod[];
  id: string | undefined;
  /** How many matching calls go through before. */
  skip: number;
  times: number;
  intercept: Interceptor;
}

export interface Which {
  /** Only calls for this session. */
  id?: string;
  /** The first matching call from now on that is meant; 1 is the next one. */
  nth?: number;
  /** For how many calls; 1 where missing. */
  times?: number;
}

/** A call that is held back, until `release`. */
export interface Held {
  /** Resolves when the call is there. */
  reached: Promise<void>;
  release(): void;
}

/**
 * A store that notes every call and can fail, delay or refuse some. What it wraps decides which capabilities it has,
 * and those are its own properties, so they count.
 */
export class RecordingStore implements SessionStore {
  readonly calls: StoreCall[] = [];
  readonly #planned: Planned[] = [];
  readonly #held: Held[] = [];
  declare list: SessionStore["list"];
  declare load: SessionStore["load"];
  declare save: SessionStore["save"];
  declare delete: SessionStore["delete"];
  declare append?: NonNullable<SessionStore["append"]>;
  declare replace?: NonNullable<SessionStore["replace"]>;
  declare update?: NonNullable<SessionStore["update"]>;
  declare flush?: NonNullable<SessionStore["flush"]>;

  constructor(inner: SessionStore, without: readonly StoreMethod[] = []) {
    for (const method of METHODS) {
      const original = Reflect.get(inner, method) as ((...args: unknown[]) => Promise<unknown>) | undefined;
      if (original !== undefined && !without.includes(method)) {
        Object.assign(this, {
          [method]: (...args: unknown[]) => this.#call(method, args, () => Reflect.apply(original, inner, args)),
        });
      }
    }
  }

  /** The calls that change sessions, in order: `append`, `replace`, … of this session, or of all. */
  writes(id?: string): StoreCall[] {
    return this.calls.filter((call) => WRITES.includes(call.method) && (id === undefined || call.id === id));
  }

  of(method: StoreMethod, id?: string): StoreCall[] {
    return this.calls.filter((call) => call.method === method && (id === undefined || call.id === id));
  }

  forget_calls(): void {
    this.calls.length = 0;
  }

  /** Of several plans for a call, the newest counts. */
  intercept(methods: StoreMethod | readonly StoreMethod[], intercept: Interceptor, which: Which = {}): void {
    const { id, nth = 1, times = 1 } = which;
    const list = typeof methods === "string" ? [methods] : methods;
    this.#planned.push({ methods: list, id, skip: nth - 1, times, intercept });
  }

  /** The call rejects, and nothing is done. */
  fail(
    methods: StoreMethod | readonly StoreMethod[],
    which: Which = {},
    error: Error = new Error("disk on fire"),
  ): void {
    this.intercept(methods, () => Promise.reject(error), which);
  }

  /** Whatever writes a session's messages fails. */
  fail_saves(which: Which = {}, error?: Error): void {
    this.fail(["save", "append", "replace"], which, error);
  }

  /** The call does what it is asked for, and then reports a failure. */
  lose_answer(methods: StoreMethod | readonly StoreMethod[], which: Which = {}): void {
    this.intercept(
      methods,
      async (perform) => {
        await perform();
        throw new Error("connection lost");
      },
      which,
    );
  }

  /** The call waits before it does anything. */
  hold(methods: StoreMethod | readonly StoreMethod[], which: Which = {}): Held {
    return this.#hold(methods, which, async (wait, perform) => {
      await wait();
      return perform();
    });
  }

  hold_save(which: Which = {}): Held {
    return this.hold(["save", "append", "replace"], which);
  }

  /** The call does what it is asked for, and its answer waits. */
  hold_answer(methods: StoreMethod | readonly StoreMethod[], which: Which = {}): Held {
    return this.#hold(methods, which, async (wait, perform) => {
      const result = await perform();
      await wait();
      return result;
    });
  }

  /** Nothing is failed or held any more; what is held already stays held. */
  heal(): void {
    this.#planned.length = 0;
  }

  release_all(): void {
    this.heal();
    this.#held.forEach((held) => held.release());
  }

  #hold(
    methods: StoreMethod | readonly StoreMethod[],
    which: Which,
    intercept: (wait: () => Promise<void>, perform: () => Promise<unknown>) => Promise<unknown>,
  ): Held {
    const [reached, released] = [deferred(), deferred()];
    const wait = () => {
      reached.resolve();
      return released.promise;
    };
    this.intercept(methods, (perform) => intercept(wait, perform), which);
    const held = { reached: reached.promise, release: () => released.resolve() };
    this.#held.push(held);
    return held;
  }

  #call(method: StoreMethod, args: unknown[], perform: () => Promise<unknown>): Promise<unknown> {
    const id = typeof args[0] === "string" ? args[0] : undefined;
    this.calls.push({ method, id, ...arguments_of(method, args) });
    for (const plan of this.#planned.toReversed()) {
      if (plan.times > 0 && plan.methods.includes(method) && (plan.id === undefined || plan.id === id)) {
        if (plan.skip > 0) {
          plan.skip -= 1;
        } else {
          plan.times -= 1;
          return plan.intercept(perform);
        }
      }
    }
    return perform();
  }
}

function arguments_of(method: StoreMethod, args: unknown[]): Pick<StoreCall, "messages" | "metadata"> {
  const messages = Array.isArray(args[1]) ? (structuredClone(args[1]) as StoreCall["messages"]) : undefined;
  const last = (method === "update" ? args[1] : args[2]) as Record<string, unknown> | undefined;
  const metadata = method === "append" || method === "replace" ? last?.["metadata"] : last;
  return { messages, metadata: metadata as Partial<SessionMetadata> | undefined };
}
