/** The stable codes of {@link SessionError}. */
export type SessionErrorCode =
  "not_found" | "conflict" | "corrupt" | "invalid_id" | "invalid_input" | "invalid_state" | "lineage" | "storage";

export interface SessionErrorDetails {
  cause?: unknown;
  session_id?: string | undefined;
  path?: string | undefined;
}

/** The mark of every {@link SessionError}, the same in every copy of this package. */
const BRAND = /* @__PURE__ */ Symbol.for("@simulacra-ai/session error");

/**
 * The base of {@link SessionError}. `instanceof SessionError` is true for an error of any copy of this package: another
 * version, the other module format, another realm. A subclass knows only its own instances, as usual.
 *
 * Hazard: bundlers keep a class with a static block, as code that runs at import. A pure function makes this one.
 */
const BrandedError = /* @__PURE__ */ branded_error();

function branded_error(): ErrorConstructor {
  class Base extends Error {
    static override [Symbol.hasInstance](value: unknown): boolean {
      const is_base = Object.getPrototypeOf(this) === Base;
      return is_base ? is_branded(value) : Function.prototype[Symbol.hasInstance].call(this, value);
    }
  }
  Object.defineProperty(Base.prototype, BRAND, { value: true });
  return Base as ErrorConstructor;
}

/**
 * Every error that this package raises. Decide by `code`, show `message`; `cause` is the error underneath,
 * `session_id` and `path` say what it is about, where that is known. Control characters in the message are escaped, since
 * ids and labels may have any, and a terminal would obey them.
 *
 * | code | meaning |
 * | --- | --- |
 * | `not_found` | there is no such session |
 * | `conflict` | another writer changed or deleted the session; nothing was written |
 * | `corrupt` | the session is there and cannot be read; nothing was touched |
 * | `invalid_id` | the id cannot name a session |
 * | `invalid_input` | an argument cannot be stored or is unknown |
 * | `invalid_state` | the call does not fit the moment (conversation busy, no active session) |
 * | `lineage` | the chain of parents is a cycle |
 * | `storage` | the storage underneath failed |
 */
export class SessionError extends BrandedError {
  override readonly name = "SessionError";
  readonly code: SessionErrorCode;
  readonly session_id?: string;
  readonly path?: string;

  constructor(code: SessionErrorCode, message: string, details: SessionErrorDetails = {}) {
    super(printable(message), details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.session_id !== undefined) {
      this.session_id = details.session_id;
    }
    if (details.path !== undefined) {
      this.path = details.path;
    }
  }
}

function is_branded(value: unknown): boolean {
  return typeof value === "object" && value !== null && BRAND in value;
}

/** Escapes control characters, which a terminal would obey. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => {
    const short = JSON.stringify(character).slice(1, -1);
    return short === character ? `\\u00${character.charCodeAt(0).toString(16)}` : short;
  });
}

/**
 * True for an error, of this name where one is given, by what it looks like: those of Node.js are no `instanceof Error`
 * in the sandbox of a test runner, nor those of another realm in any.
 */
export function is_error(value: unknown, name?: string): value is Error {
  const { name: own_name, message } = (value ?? {}) as { name?: unknown; message?: unknown };
  return (
    typeof value === "object" &&
    typeof own_name === "string" &&
    typeof message === "string" &&
    (name === undefined || own_name === name)
  );
}

/** What an error says, or whatever else was thrown. */
export function reason_of(error: unknown): string {
  return is_error(error) ? error.message : String(error);
}

/** True for a `SessionError` with one of these codes, of any copy of the package, and for an error of a store that names itself so. */
export function has_code(error: unknown, ...codes: SessionErrorCode[]): boolean {
  return is_session_error(error) && codes.includes(error.code);
}

export function is_session_error(error: unknown): error is SessionError {
  return error instanceof SessionError || is_error(error, "SessionError");
}

/** Returns a handler for `catch` that resolves to `undefined` for errors with this code, and throws all others. */
export function ignore(code: SessionErrorCode): (error: unknown) => undefined {
  return (error) => {
    if (!has_code(error, code)) {
      throw error;
    }
    return undefined;
  };
}

export function session_not_found(id: string): SessionError {
  return new SessionError("not_found", `session not found: ${id}`, { session_id: id });
}

export function invalid_input(message: string, details?: SessionErrorDetails): SessionError {
  return new SessionError("invalid_input", message, details);
}

export function invalid_state(message: string, details?: SessionErrorDetails): SessionError {
  return new SessionError("invalid_state", message, details);
}

/** The error of an operation that changes the conversation while a turn is in flight. */
export function busy(cause?: unknown): SessionError {
  const message = "invalid state: the conversation is busy; wait until it is idle, or cancel its response";
  return invalid_state(message, { cause });
}

export function disposed(): SessionError {
  return invalid_state("the session manager is disposed");
}

export function no_active_session(): SessionError {
  return invalid_state("no active session");
}

export function changed_meanwhile(id: string): SessionError {
  return new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
}
