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
function trace_operation<T>(
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
  return trace_operation(MANAGER, trace, task, learn);
}

/** What happens to a manager, at one moment. */
export function trace_event(trace: SessionTrace): void {
  if (is_heard(MANAGER)) {
    void trace_operation(MANAGER, trace, () => Promise.resolve());
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

/** The mark of a traced store, the same in every copy of this package. */
const TRACED = Symbol.for("@simulacra-ai/session traced");

/** A store may be an object of no class at all. */
function name_of(store: { constructor?: { name?: unknown } }): Pick<SessionTrace, "store"> {
  const name = store.constructor?.name;
  return typeof name === "string" ? { store: name } : {};
}

function traced_method(store: object, operation: string, method: Method): Method {
  return (...args) => {
    if (!is_heard(STORE)) {
      return method.apply(store, args);
    }
    const [id, messages] = args;
    const trace: SessionTrace = {
      operation,
      ...name_of(store),
      ...(typeof id === "string" && { session_id: id }),
      ...(Array.isArray(messages) && { count: messages.length }),
    };
    const task = async () => method.apply(store, args);
    return trace_operation(STORE, trace, task, (result) => known_of(messages, result));
  };
}

/** Returns the count and the bytes of the messages that were given or read. */
function known_of(given: unknown, result: unknown): Partial<SessionTrace> {
  const read = Array.isArray(result) ? result : (result as { messages?: unknown[] } | undefined)?.messages;
  const bytes = sizes.get(Array.isArray(given) ? given : (read ?? []));
  return { ...(read && { count: read.length }), ...(bytes !== undefined && { bytes }) };
}

/**
 * Returns a store that does the same, and publishes each operation on `STORE_CHANNEL`. The result has the methods and the
 * prototype of the given store, its class included. A manager and `copy_sessions` trace their stores themselves. Costs next
 * to nothing while nobody listens.
 */
export function traced<T extends SessionStore>(store: T): T {
  if (Reflect.get(store, TRACED) === true) {
    return store;
  }
  const known = new Map<PropertyKey, { value: unknown; bound: unknown }>();
  // Over an object of its own: of one that is frozen, a proxy could return nothing but what is there.
  return new Proxy({} as T, {
    get(_, key) {
      const value: unknown = key === TRACED || Reflect.get(store, key, store);
      if (typeof value !== "function" || key === "constructor") {
        return value;
      }
      let method = known.get(key);
      if (method?.value !== value) {
        const is_operation = (OPERATIONS as readonly unknown[]).includes(key);
        const bound: unknown = is_operation
          ? traced_method(store, String(key), value as Method)
          : (value as Method).bind(store);
        method = { value, bound };
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
