import { constants, isUtf8 } from "node:buffer";
import { is_error, reason_of, SessionError } from "../../../errors.js";

export function corrupt(path: string, reason: string, cause?: unknown): SessionError {
  return new SessionError("corrupt", `${path} is damaged: ${reason}`, {
    path,
    cause,
  });
}

export function wrong_messages(path: string): SessionError {
  return corrupt(path, "the messages are not those that were written");
}

/** The error of a file that has our `store`, and not the content that belongs to it. */
export function not_ours(path: string): SessionError {
  return corrupt(path, "it is not as this package wrote it; without its `store` it is read as it is");
}

/** The error of a file that was never a session: valid JSON, and no object with metadata or messages. */
export class NotASession extends SessionError {
  constructor(path: string) {
    super("corrupt", `${path} is no session: it has neither metadata nor messages`, { path });
  }
}

export function is_object(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True if a parsed value can be written as JSON again. `JSON.parse` reads deeper nesting than `JSON.stringify` writes. */
function is_writable(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch (error) {
    if (is_error(error, "RangeError")) {
      return false;
    }
    throw error;
  }
}

/** @throws {SessionError} `corrupt` where a value of another writer could not be written again. */
export function require_writable(value: unknown, path: string): void {
  if (!is_writable(value)) {
    throw corrupt(path, "it is nested too deep");
  }
}

/** The object that a text holds, if it is one that can be written again. */
export function parse_object(bytes: Buffer): Record<string, unknown> | undefined {
  if (bytes.length > constants.MAX_STRING_LENGTH || !isUtf8(bytes)) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(without_mark(bytes.toString()));
    return is_object(value) && is_writable(value) ? value : undefined;
  } catch (error) {
    if (is_error(error, "SyntaxError")) {
      return undefined;
    }
    throw error;
  }
}

/** A text without its byte order mark. */
export function without_mark(text: string): string {
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/** @throws {SessionError} `corrupt` where a file of another writer is no text. */
export function require_text(bytes: Buffer, path: string): void {
  if (!isUtf8(bytes)) {
    throw corrupt(path, "it is not UTF-8 text");
  }
}

/** @throws {SessionError} `corrupt`. */
export function parse_json(bytes: Buffer | string, path: string): unknown {
  try {
    return JSON.parse(without_mark(bytes.toString()));
  } catch (error) {
    throw corrupt(path, reason_of(error), error);
  }
}
