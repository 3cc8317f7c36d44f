import { is_error, reason_of, SessionError } from "../../errors.js";

export function corrupt(path: string, reason: string, cause?: unknown): SessionError {
  return new SessionError("corrupt", `${path} is damaged: ${reason}`, {
    path,
    ...(cause !== undefined && { cause }),
  });
}

export function is_object(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether JSON can be made of what was made of JSON: it reads deeper nesting than it writes. */
export function is_writable(value: unknown): boolean {
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

/** @throws {SessionError} `corrupt`. */
export function parse_json(bytes: Buffer | string, path: string): unknown {
  try {
    const text = bytes.toString();
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  } catch (error) {
    throw corrupt(path, reason_of(error), error);
  }
}
