import type { Message } from "@simulacra-ai/core";
import { SessionError } from "./errors.js";
import type { MetadataPatch } from "./metadata.js";
import { note_bytes } from "./tracing.js";

function to_json(value: unknown, what: string, session_id: string): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new SessionError("invalid_input", `${what} cannot be written as JSON`, { cause: error, session_id });
  }
  if (json === undefined || !json.startsWith("{")) {
    throw new SessionError("invalid_input", `${what} is not an object`, { session_id });
  }
  return json;
}

/**
 * One JSON text a message, with no line break in any of them.
 * @throws {SessionError} `invalid_input` for what JSON cannot hold: cycles, BigInt, depth beyond the stack.
 */
export function messages_to_json(messages: readonly Message[], session_id: string): string[] {
  if (!Array.isArray(messages)) {
    throw new SessionError("invalid_input", "messages must be an array", { session_id });
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
      throw new SessionError("invalid_input", `metadata.${key} must be an ISO 8601 string`, { session_id });
    }
  }
  return plain;
}
