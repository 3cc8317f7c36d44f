import { SessionError } from "../../errors.js";

export function corrupt(path: string, reason: string, cause?: unknown): SessionError {
  return new SessionError("corrupt", `${path} is damaged: ${reason}`, {
    path,
    ...(cause !== undefined && { cause }),
  });
}

export function is_object(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {SessionError} `corrupt`. */
export function parse_json(bytes: Buffer | string, path: string): unknown {
  try {
    const text = bytes.toString();
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  } catch (error) {
    throw corrupt(path, error instanceof Error ? error.message : String(error), error);
  }
}
