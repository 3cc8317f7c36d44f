import { AsyncLocalStorage } from "node:async_hooks";
import diagnostics from "node:diagnostics_channel";
import { timers } from "./async/timers.js";
import type { SessionStore } from "./types.js";

/** What a tracing channel of this package publishes: of one operation always the same object. Never any content. */
export interface SessionTrace {
  /** The method, or what the manager does: `append`, `fork`, … */
  operation: string;
  /** Absent where an operation concerns no single session, or its id is not known yet. */
  session_id?: string;
  /** The name of the store's class, where it has one. */
  store?: string;
  /** How many messages were written, or read, or listed as sessions. */
  count?: number;
  /** Bytes of the messages as JSON, where they are known. */
  bytes?: number;
  /** Milliseconds; there when the operation has ended. */
  duration_ms?: number;
  /** There where it failed: `code` of this package, `cause_code` of the system or the database. */
  error?: { name: string; code?: string; cause_code?: string };
  /** Of a conflict: where the other history is stored. */
  fork_id?: string;
}

export const STORE_CHANNEL = "simulacra-session:store";
export const MANAGER_CHANNEL = "simulacra-session:manager";

type Channels = ReturnType<typeof diagnostics.tracingChannel<unknown, SessionTrace>>;

const STORE: Channels = /* @__PURE__ */ diagnostics.tracingChannel(STORE_CHANNEL);
const MANAGER: Channels = /* @__PURE__ */ diagnostics.tracingChannel(MANAGER_CHANNEL);

const EVENTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

function is_heard(of: Channels): boolean {
  return EVENTS.some((event) => of[event].hasSubscribers);
}

/**
 * Runs a task; where somebody listens, its beginning and end are published, in the manner of
 * `TracingChannel.tracePromise`. `learn` tells what the result says.
 */
function traced<T>(
  heard: Channels,
  trace: SessionTrace,
  task: () => Promise<T>,
  learn: (result: T) => Partial<SessionTrace> = () => ({}),
): Promise<T> {
  if (!is_heard(heard)) {
    return task();
  }
  const began = timers.now();
  const ended = () => {
    trace.duration_ms = timers.now() - began;
    heard.asyncStart.publish(trace);
    heard.asyncEnd.publish(trace);
  };
  return heard.start.runStores(trace, () => {
    const running = task().then(
      (result) => {
        Object.assign(trace, learn(result));
        ended();
        return result;
      },
      (error: unknown) => {
        trace.error = describe(error);
        heard.error.publish(trace);
        ended();
        throw error;
      },
    );
    heard.end.publish(trace);
    return running;
  });
}

/** Messages may quote what was read: they are left out. */
function describe(error: unknown): NonNullable<SessionTrace["error"]> {
  const { name = typeof error, code, cause } = (error ?? {}) as { name?: string; code?: unknown; cause?: unknown };
  const cause_code = (cause as { code?: unknown } | undefined)?.code;
  return {
    name,
    ...(typeof code === "string" && { code }),
    ...(typeof cause_code === "string" && { cause_code }),
  };
}

/** An operation of a manager. */
export function trace_manager<T>(
  trace: SessionTrace,
  task: () => Promise<T>,
  learn?: (result: T) => Partial<SessionTrace>,
): Promise<T> {
  return traced(MANAGER, trace, task, learn);
}

/** What happens to a manager, at one moment. */
export function trace_event(trace: SessionTrace): void {
  if (is_heard(MANAGER)) {
    void traced(MANAGER, trace, () => Promise.resolve());
  }
}

/** Bytes of messages, by the array that was handed in. */
const sizes = new WeakMap<readonly unknown[], number>();

/** Notes how many bytes these messages have as JSON, for whoever listens. */
export function note_bytes(messages: readonly unknown[], bytes: () => number): void {
  if (is_heard(STORE)) {
    sizes.set(messages, bytes());
  }
}

const OPERATIONS = [
  "list",
  "load",
  "save",
  "delete",
  "append",
  "replace",
  "update",
  "flush",
  "set_draft",
] as const satisfies (keyof SessionStore)[];

type Method = (this: object, ...args: unknown[]) => Promise<unknown>;

/** The mark of a method that publishes what it does, the same in every copy of this package. */
const PUBLISHING = Symbol.for("@simulacra-ai/session publishing");

interface Call {
  store: object;
  operation: string;
  id: unknown;
}

/**
 * The operation that is published already, and under way: an override that calls the method it overrides is one operation.
 * Copies of this package share it, since a method may be another copy's.
 */
const under_way = /* @__PURE__ */ operations_under_way();

function operations_under_way(): AsyncLocalStorage<Call> {
  const shared = globalThis as { [key: symbol]: AsyncLocalStorage<Call> | undefined };
  return (shared[Symbol.for("@simulacra-ai/session operations under way")] ??= new AsyncLocalStorage());
}

function is_part_of({ store, operation, id }: Call): boolean {
  const outer = under_way.getStore();
  return outer?.store === store && outer.operation === operation && (typeof id !== "string" || outer.id === id);
}

/** A store may be an object of no class at all. */
function name_of(store: { constructor?: { name?: unknown } }): Pick<SessionTrace, "store"> {
  const name = store.constructor?.name;
  return typeof name === "string" ? { store: name } : {};
}

function publishes(operation: string, method: Method): Method {
  const published = function (this: object, ...args: unknown[]): Promise<unknown> {
    const [id, messages] = args;
    if (!is_heard(STORE) || is_part_of({ store: this, operation, id })) {
      return method.apply(this, args);
    }
    const trace: SessionTrace = { operation, ...name_of(this) };
    if (typeof id === "string") {
      trace.session_id = id;
    }
    if (Array.isArray(messages)) {
      trace.count = messages.length;
    }
    return traced(
      STORE,
      trace,
      async () => under_way.run({ store: this, operation, id }, () => method.apply(this, args)),
      (result) => what_is_known(messages, result),
    );
  };
  Object.defineProperty(published, PUBLISHING, { value: true });
  return published;
}

function what_is_known(given: unknown, result: unknown): Partial<SessionTrace> {
  const read = Array.isArray(result) ? result : (result as { messages?: unknown[] } | undefined)?.messages;
  const bytes = sizes.get(Array.isArray(given) ? given : (read ?? []));
  return { ...(read && { count: read.length }), ...(bytes !== undefined && { bytes }) };
}

/** Classes of stores whose operations are published. */
const publishing_classes = new WeakSet<object>();

/**
 * Makes every operation of a class of stores publish what it does. The constructor of the class calls it through a
 * function beside the class.
 *
 * Hazard: a call beside the class runs at import, and keeps the class in every bundle. Bundlers rename a class that
 * names itself, and traces then tell the new name.
 */
export function publish_operations(type: { prototype: SessionStore }): void {
  if (publishing_classes.has(type)) {
    return;
  }
  publishing_classes.add(type);
  const methods = type.prototype as unknown as Record<string, Method | undefined>;
  for (const operation of OPERATIONS) {
    const method = Object.hasOwn(methods, operation) ? methods[operation] : undefined;
    if (method) {
      Object.defineProperty(methods, operation, {
        value: publishes(operation, method),
        writable: true,
        configurable: true,
      });
    }
  }
}

/**
 * A store whose operations are published, whoever wrote it and however it is made: decided for each method, since a
 * subclass may have some of its own. It is no other store than before: what it has, and how near, can be seen as ever.
 */
export function published(store: SessionStore): SessionStore {
  const methods = store as unknown as Record<string, unknown>;
  if (OPERATIONS.every((operation) => is_published(methods[operation]))) {
    return store;
  }
  const known = new Map<PropertyKey, { value: unknown; bound: Method }>();
  // Over an object of its own: of one that is frozen, a proxy could return nothing but what is there.
  return new Proxy({} as SessionStore, {
    get(_, key) {
      const value: unknown = Reflect.get(store, key, store);
      if (typeof value !== "function" || !(OPERATIONS as readonly unknown[]).includes(key)) {
        return value;
      }
      let method = known.get(key);
      if (method?.value !== value) {
        const publishing_one = is_published(value) ? (value as Method) : publishes(String(key), value as Method);
        method = { value, bound: publishing_one.bind(store) };
        known.set(key, method);
      }
      return method.bound;
    },
    has: (_, key) => Reflect.has(store, key),
    getPrototypeOf: () => Object.getPrototypeOf(store) as object | null,
    getOwnPropertyDescriptor(_, key) {
      const descriptor = Reflect.getOwnPropertyDescriptor(store, key);
      return descriptor && { ...descriptor, configurable: true };
    },
  });
}

/** True where there is nothing left to publish of a method. */
function is_published(method: unknown): boolean {
  return typeof method !== "function" || Object.hasOwn(method, PUBLISHING);
}
