import { invalid_input, is_error, SessionError } from "../../errors.js";
import { session_kind, type MetadataPatch } from "../../metadata.js";
import type { SessionKind, SessionMetadata } from "../../types.js";

/** The longest id, in UTF-16 code units: as in the other databases. */
export const MAX_ID_LENGTH = 200;
const MAX_PREFIX_LENGTH = 100;

/** UTF-8 has no form of a lone surrogate. */
export function is_id(id: unknown): id is string {
  return typeof id === "string" && id !== "" && id.length <= MAX_ID_LENGTH && !/\p{Surrogate}/u.test(id);
}

export function require_id(id: unknown): asserts id is string {
  if (!is_id(id)) {
    const what = `a text of 1 to ${MAX_ID_LENGTH} characters without lone surrogates`;
    throw new SessionError("invalid_id", `a session id must be ${what}`);
  }
}

/** @throws {SessionError} `invalid_input`. */
export function require_prefix(prefix: unknown): asserts prefix is string {
  const is_right =
    typeof prefix === "string" && prefix.length <= MAX_PREFIX_LENGTH && /^[^\p{Cc}\p{Surrogate}{}]+$/u.test(prefix);
  if (!is_right) {
    const what = `a text of 1 to ${MAX_PREFIX_LENGTH} characters without braces and control characters`;
    throw invalid_input(`prefix must be ${what}`);
  }
}

/**
 * The one key of a session. What stands between its braces decides the slot; in it the id has neither a brace nor a
 * colon, so that no two pairs of prefix and id come to the same.
 */
export function session_key(prefix: string, id: string): string {
  return `{${prefix}:${encodeURIComponent(id)}}:session`;
}

/** The id in a key; `undefined` where it is not a session's of this prefix. */
export function id_of_key(prefix: string, key: string): string | undefined {
  const [start, end] = [`{${prefix}:`, "}:session"];
  if (!key.startsWith(start) || !key.endsWith(end)) {
    return undefined;
  }
  try {
    const id = decodeURIComponent(key.slice(start.length, -end.length));
    return is_id(id) && session_key(prefix, id) === key ? id : undefined;
  } catch (error) {
    if (is_error(error, "URIError")) {
      return undefined;
    }
    throw error;
  }
}

export function key_pattern(prefix: string): string {
  return `{${prefix.replace(/[\\*?[\]]/g, "\\$&")}:*}:session`;
}

export function index_key(prefix: string): string {
  return `${prefix}:index`;
}

/** What an entry of the index says, beside when it was made: see {@link SessionIndex}. */
export interface IndexPlace {
  position: string;
  kind: string;
  parent: string;
}

function hex(code: number): string {
  return code.toString(16).padStart(4, "0");
}

/** A text of ASCII without spaces whose order by bytes is the order of the given one by UTF-16 code unit. */
export function ascending(text: string): string {
  return text.replace(/[^"-z]/g, (unit) => {
    const code = unit.charCodeAt(0);
    return `${code < 0x22 ? "!" : "|"}${hex(code)}`;
  });
}

function from_ascending(text: string): string {
  return text.replace(/[!|]([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

/** The sum of a character of dates and of what stands for it: their order is turned round. */
const MIRROR = 0x2b + 0x5a;

/** The same in the opposite order: what begins with another text comes before it. */
function descending(text: string): string {
  let mirrored = "";
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    const is_of_dates = code >= 0x2b && code <= 0x5a;
    mirrored += is_of_dates ? String.fromCharCode(MIRROR - code) : `${code > 0x5a ? "!" : "]"}${hex(0xffff - code)}`;
  }
  return `${mirrored}~`;
}

function from_descending(text: string): string {
  return text.replace(/[!\]]([0-9a-f]{4})|[+-Z]/g, (unit, code?: string) =>
    String.fromCharCode(code === undefined ? MIRROR - unit.charCodeAt(0) : 0xffff - parseInt(code, 16)),
  );
}

/** Where a session stands in the list: the order by bytes is the list's. */
export function position_of({ updated_at, id }: Pick<SessionMetadata, "updated_at" | "id">): string {
  return `${descending(updated_at)}${ascending(id)}`;
}

export function from_position(position: string): Pick<SessionMetadata, "updated_at" | "id"> {
  const at = position.indexOf("~");
  return { updated_at: from_descending(position.slice(0, at)), id: from_ascending(position.slice(at + 1)) };
}

/** The mark of a parent in the index; that of none is empty. */
export function parent_mark(parent_id: unknown): string {
  return typeof parent_id === "string" ? `=${ascending(parent_id)}` : "";
}

/** What a place says of a session beside its position. */
export function lineage_of({ kind, parent }: IndexPlace): MetadataPatch {
  return {
    ...(kind !== "" && { kind: from_ascending(kind) as SessionKind }),
    ...(parent !== "" && { parent_id: from_ascending(parent.slice(1)) }),
  };
}

export function place_of(metadata: SessionMetadata): IndexPlace {
  const { parent_id }: MetadataPatch = metadata;
  return {
    position: position_of(metadata),
    kind: ascending(text_of(session_kind(metadata))),
    parent: parent_mark(parent_id),
  };
}

/** Of what is no text its JSON: nobody asks for that. */
function text_of(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
