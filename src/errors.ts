/** The stable codes of {@link SessionError}. */
export type SessionErrorCode =
  "not_found" | "conflict" | "corrupt" | "invalid_id" | "invalid_input" | "invalid_state" | "lineage" | "storage";

export interface SessionErrorDetails {
  cause?: unknown;
  session_id?: string | undefined;
  path?: string | undefined;
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
export class SessionError extends Error {
  override readonly name = "SessionError";
  readonly code: SessionErrorCode;
  readonly session_id?: string;
  readonly path?: string;

  constructor(code: SessionErrorCode, message: string, details: SessionErrorDetails = {}) {
    super(printable(message), "cause" in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.session_id !== undefined) {
      this.session_id = details.session_id;
    }
    if (details.path !== undefined) {
      this.path = details.path;
    }
  }
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

/** True for an error with this code, from whichever copy of the package it comes. */
export function has_code(error: unknown, code: SessionErrorCode): boolean {
  return is_error(error, "SessionError") && (error as SessionError).code === code;
}

export function session_not_found(id: string): SessionError {
  return new SessionError("not_found", `session not found: ${id}`, { session_id: id });
}

/** The error of an operation that changes the conversation while a turn is in flight. */
export function busy(cause?: unknown): SessionError {
  const message = "invalid state: the conversation is busy; wait until it is idle, or cancel its response";
  return new SessionError("invalid_state", message, cause === undefined ? {} : { cause });
}

export function disposed(): SessionError {
  return new SessionError("invalid_state", "the session manager is disposed");
}

export function no_active_session(): SessionError {
  return new SessionError("invalid_state", "no active session");
}

export function changed_meanwhile(id: string): SessionError {
  return new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
}
