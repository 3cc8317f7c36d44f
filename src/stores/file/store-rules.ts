import { constants } from "node:buffer";
import { createHash } from "node:crypto";
import { has_code, invalid_input } from "../../errors.js";
import { metadata_to_plain } from "../../json.js";
import type { MetadataPatch } from "../../metadata.js";
import type { SessionMetadata } from "../../types.js";
import { require_valid_id } from "./session-paths.js";

/** The same for the same journal: a rescue that was cut short is not made twice. */
export function recovered_id(id: string, sum: string): string {
  const hex = createHash("sha256").update(`${id} ${sum}`).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}

/** @throws {SessionError} `invalid_id`, `invalid_input`. */
export function check(id: string, metadata: Partial<SessionMetadata> | undefined): MetadataPatch {
  require_valid_id(id);
  const given = metadata_to_plain(metadata, id);
  if (given.parent_id !== undefined && given.parent_id !== null) {
    require_valid_id(given.parent_id, "parent_id");
  }
  return given;
}

/** @throws {SessionError} `invalid_input` for a message that has more bytes than one string, so that nobody could read it again. */
export function require_parsable(text: string, n: number, session_id: string): void {
  if (3 * text.length > constants.MAX_STRING_LENGTH && Buffer.byteLength(text) > constants.MAX_STRING_LENGTH) {
    throw invalid_input(`message ${n} has more than ${constants.MAX_STRING_LENGTH} bytes as JSON`, { session_id });
  }
}

export function damaged_is_unknown(error: unknown): "damaged" {
  if (!has_code(error, "corrupt")) {
    throw error;
  }
  return "damaged";
}
