import type { Message } from "@simulacra-ai/core";
import { invalid_input } from "./errors.js";
import type { MetadataPatch } from "./metadata.js";
import { note_bytes } from "./tracing.js";

/** How many levels of objects and arrays a stored value may have: fewer than Node.js 20 can write. */
const MAX_DEPTH = 3000;

/**
 * Returns the JSON text of a value. Throws for what JSON cannot hold: cycles, BigInt, more levels than {@link MAX_DEPTH}.
 *
 * Hazard: newer engines write values of any depth (Deno, V8 since 13.8). Others read such a text but cannot write it
 * again, so the session would be damaged for them.
 */
export function json_of(value: unknown): string | undefined {
  const json = JSON.stringify(value) as string | undefined;
  if (json !== undefined && is_too_deep(json)) {
    throw new RangeError(`it has more than ${MAX_DEPTH} levels of objects and arrays`);
  }
  return json;
}

/** True for a JSON text with more levels than {@link MAX_DEPTH}. Costs next to nothing for a text with fewer brackets. */
function is_too_deep(json: string): boolean {
  const has_many = json.length > 2 * MAX_DEPTH && (json.match(/[[{]/g)?.length ?? 0) > MAX_DEPTH;
  let level = has_many ? [JSON.parse(json) as object] : [];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) {
      return true;
    }
    level = level.flatMap((value) => Object.values(value) as object[]).filter((value) => Object(value) === value);
  }
  return false;
}

function to_json(value: unknown, what: string, session_id: string): string {
  let json: string | undefined;
  try {
    json = json_of(value);
  } catch (error) {
    throw invalid_input(`${what} cannot be written as JSON`, { cause: error, session_id });
  }
  if (json === undefined || !json.startsWith("{")) {
    throw invalid_input(`${what} is not an object`, { session_id });
  }
  return json;
}

/**
 * One JSON text a message, with no line break in any of them.
 * @throws {SessionError} `invalid_input` for what JSON cannot hold: cycles, BigInt, too many levels.
 */
export function messages_to_json(messages: readonly Message[], session_id: string): string[] {
  if (!Array.isArray(messages)) {
    throw invalid_input("messages must be an array", { session_id });
  }
  const texts = Array.from(messages, (message, index) => to_json(message, `message ${index}`, session_id));
  note_bytes(messages, () => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
  return texts;
}

/**
 * The caller's metadata as it will be stored: a copy of what JSON holds of it. `undefined` values are gone.
 * @throws {SessionError} `invalid_input`.
 */
export function metadata_to_plain(metadata: object | undefined, session_id: string): MetadataPatch {
  const plain = JSON.parse(to_json(metadata ?? {}, "metadata", session_id)) as MetadataPatch;
  for (const key of ["created_at", "updated_at"] as const) {
    const value = plain[key];
    if (value !== undefined && value !== null && typeof value !== "string") {
      throw invalid_input(`metadata.${key} must be an ISO 8601 string`, { session_id });
    }
  }
  return plain;
}
