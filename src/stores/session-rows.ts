import { isDeepStrictEqual } from "node:util";
import type { Message } from "@simulacra-ai/core";
import { invalid_input, is_error, is_session_error, reason_of, SessionError } from "../errors.js";
import { complete_metadata, type MetadataPatch } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";

/** A session as it is written into a row; every value is a copy of its own. */
export interface SessionRow {
  id: string;
  metadata: SessionMetadata;
  messages: Message[];
  /** The metadata's. The column is for ordering: what is read back is the metadata's again. */
  updated_at: string;
}

/** What a database returns of a row: values, or their JSON text. */
export interface StoredRow {
  metadata: unknown;
  messages: unknown;
  updated_at?: unknown;
}

/** A row as it is listed, with or without the messages. */
export interface ListedRow {
  id: string;
  metadata: unknown;
  messages?: unknown;
  updated_at?: unknown;
  /** What is known of a session whose metadata cannot be read. */
  lineage?: MetadataPatch;
}

/**
 * The session in a row, a copy.
 * @throws {SessionError} `corrupt`.
 */
export function read_row(id: string, row: StoredRow): StoredSession {
  const messages = read_messages(id, row.messages);
  return { metadata: read_metadata(id, row, messages.length), messages };
}

/** The list entry of a row, a copy; with `damaged` where the row cannot be read. */
export function read_entry(row: ListedRow): SessionMetadata {
  const { id } = row;
  let metadata: SessionMetadata | undefined;
  try {
    metadata = read_metadata(id, row, "claimed");
    return row.messages === undefined
      ? metadata
      : { ...metadata, message_count: read_messages(id, row.messages).length };
  } catch (error) {
    const date = date_of_column(row.updated_at);
    metadata ??= complete_metadata(row.lineage ?? {}, { id, message_count: 0, date: () => date });
    return { ...metadata, message_count: 0, damaged: reason_of(error) };
  }
}

/** Whether the stored messages are the first of these, by value: a database may order keys anew. */
export function is_prefix(stored: readonly Message[], messages: readonly Message[]): boolean {
  if (stored.length > messages.length) {
    return false;
  }
  try {
    return stored.every((message, index) => isDeepStrictEqual(message, messages[index]));
  } catch (error) {
    if (is_error(error, "RangeError")) {
      return false; // too deep to compare: then everything is written
    }
    throw error;
  }
}

/** Databases keep texts as UTF-8: what has no form there, or ends a text early, would be another session's id. */
export function is_storable_id(id: unknown): id is string {
  return typeof id === "string" && id !== "" && !/[\0\p{Surrogate}]/u.test(id);
}

/**
 * What a database call returns. A text that the library cannot parse is a damaged row; the rest is the storage's.
 * @throws {SessionError} `corrupt`, `storage`.
 */
export async function read_from<T>(what: string, session_id: string | undefined, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw is_error(error, "SyntaxError")
      ? new SessionError("corrupt", `${what} is damaged: ${error.message}`, { cause: error, session_id })
      : storage_error(`${what} cannot be read`, session_id, error);
  }
}

/**
 * The same for a change.
 * @throws {SessionError} `invalid_input` for what goes deeper than the library can follow, `storage`.
 */
export async function write_to<T>(session_id: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (is_error(error, "RangeError")) {
      const message = `session ${session_id} is more than the database library can write: ${error.message}`;
      throw invalid_input(message, { cause: error, session_id });
    }
    throw storage_error(`session ${session_id} cannot be written`, session_id, error);
  }
}

function storage_error(message: string, session_id: string | undefined, cause: unknown): Error {
  if (is_session_error(cause)) {
    return cause;
  }
  return new SessionError("storage", `${message}: ${reason_of(cause)}`, { cause, session_id });
}

function read_messages(id: string, column: unknown): Message[] {
  const messages = read_json(id, "messages", column);
  if (!Array.isArray(messages)) {
    throw damaged(id, "the messages are no array");
  }
  const index = messages.findIndex((message) => !is_object(message));
  if (index >= 0) {
    throw damaged(id, `message ${index} is no object`);
  }
  return messages as Message[];
}

/**
 * `"claimed"`: the count that the metadata claim, for rows that come without messages.
 * @throws {SessionError} `corrupt`.
 */
export function read_metadata(
  id: string,
  row: Pick<ListedRow, "metadata" | "updated_at">,
  message_count: number | "claimed",
): SessionMetadata {
  const metadata = read_json(id, "metadata", row.metadata);
  if (!is_object(metadata)) {
    throw damaged(id, "the metadata are no object");
  }
  const claimed = (metadata as Partial<SessionMetadata>).message_count;
  const count = message_count === "claimed" ? (Number.isInteger(claimed) ? (claimed ?? 0) : 0) : message_count;
  return complete_metadata(metadata, { id, message_count: count, date: () => date_of_column(row.updated_at) });
}

function read_json(id: string, column: string, value: unknown): unknown {
  if (value === undefined || value === null) {
    throw damaged(id, `the ${column} are missing`);
  }
  try {
    return JSON.parse(typeof value === "string" ? value : JSON.stringify(value));
  } catch (error) {
    throw damaged(id, `the ${column} are no JSON`, error);
  }
}

function is_object(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `what` of a session, from its JSON text. @throws {SessionError} `corrupt`. */
export function parse_object(session_id: string, what: string, text: string | undefined): object {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch (error) {
    throw damaged(session_id, `${what} is ${text === undefined ? "missing" : "no JSON"}`, error);
  }
  if (!is_object(value)) {
    throw damaged(session_id, `${what} is no object`);
  }
  return value;
}

/** The messages of a session, from the text of each: one by one costs less than all of them as one text. */
export function parse_messages(session_id: string, texts: readonly (string | undefined)[]): Message[] {
  return texts.map((text, at) => parse_object(session_id, `message ${at}`, text) as Message);
}

export function damaged(session_id: string, reason: string, cause?: unknown): SessionError {
  return new SessionError("corrupt", `session ${session_id} is damaged: ${reason}`, {
    session_id,
    cause,
  });
}

/** A date column as ISO 8601; where it holds none, the oldest there is. */
function date_of_column(value: unknown): string {
  const date = new Date(value as string | Date);
  return (Number.isNaN(date.getTime()) ? new Date(0) : date).toISOString();
}
