import type { Message } from "@simulacra-ai/core";
import { checksum, sum_of_messages } from "./checksum.js";
import {
  corrupt,
  is_object,
  not_ours,
  NotASession,
  parse_json,
  require_text,
  require_writable,
  wrong_messages,
} from "./corrupt.js";
import type { FileMetadata, SnapshotHead, StoreHeader } from "./snapshot-header.js";

const METADATA_PREFIX = '{\n"metadata": ';
const STORE_PREFIX = ',\n"store": ';
const MESSAGES_PREFIX = ',\n"messages": [\n';
export const JSON_SUFFIX = /* @__PURE__ */ Buffer.from("\n]\n}\n");
/** Between two messages. */
export const JSON_SEPARATOR = ",\n";

/** The text of a snapshot up to its first message. */
export function encode_head(
  metadata: FileMetadata,
  header: Omit<StoreHeader, "head">,
): { bytes: Buffer; store: StoreHeader } {
  const json = JSON.stringify(metadata);
  const { text, store } = encode_store(json, header);
  return { bytes: Buffer.from(METADATA_PREFIX + json + STORE_PREFIX + text + MESSAGES_PREFIX), store };
}

const HEAD_PREFIX = ',"head":"';

/** The store's header, closed by the checksum of the metadata's text and its own. */
export function encode_store(json: string, header: Omit<StoreHeader, "head">): { text: string; store: StoreHeader } {
  const open = JSON.stringify(header).slice(0, -1);
  const head = checksum(json, open);
  return { text: `${open}${HEAD_PREFIX}${head}"}`, store: { ...header, head } };
}

/**
 * The head of a snapshot of ours, from its first bytes. `"incomplete"`: more bytes are needed. `undefined`: the file
 * is none of ours.
 * @throws {SessionError} `corrupt` where the metadata are not what was written.
 */
export function decode_head(bytes: Buffer, whole: boolean, path: string): SnapshotHead | "incomplete" | undefined {
  if (!METADATA_PREFIX.startsWith(bytes.toString("latin1", 0, METADATA_PREFIX.length))) {
    return undefined;
  }
  const metadata_end = bytes.indexOf(STORE_PREFIX);
  const store_end = bytes.indexOf(MESSAGES_PREFIX);
  if (metadata_end < 0 || store_end < metadata_end) {
    return whole ? undefined : "incomplete";
  }
  const json = bytes.subarray(METADATA_PREFIX.length, metadata_end);
  const store = bytes.subarray(metadata_end + STORE_PREFIX.length, store_end);
  return { ...decode_store(json, store, path), offset: store_end + MESSAGES_PREFIX.length };
}

/** @throws {SessionError} `corrupt`. */
export function decode_store(json: Buffer, store_json: Buffer, path: string): Omit<SnapshotHead, "offset"> {
  const store = parse_json(store_json, path) as StoreHeader;
  if (store.version !== 1) {
    throw corrupt(path, `it was written by a newer version of this package (${JSON.stringify(store.version)})`);
  }
  const open = store_json.subarray(0, store_json.lastIndexOf(HEAD_PREFIX));
  if (checksum(json, open) !== store.head) {
    throw corrupt(path, "the metadata are not those that were written");
  }
  return { metadata: parse_json(json, path) as FileMetadata, store };
}

/**
 * The messages behind the head of a snapshot of ours.
 * @throws {SessionError} `corrupt`.
 */
export function decode_messages(bytes: Buffer, head: SnapshotHead, path: string): Message[] {
  require_size(bytes.length, head, path);
  const end = head.offset + head.store.size;
  const suffix = bytes.subarray(end);
  const is_whole = JSON_SUFFIX.subarray(0, suffix.length).equals(suffix);
  if (!is_whole || checksum(bytes.subarray(head.offset, end)) !== head.store.messages) {
    throw wrong_messages(path);
  }
  // The whole text costs less than a part of it: a part would have to be copied between brackets first.
  return (parse_json(bytes, path) as { messages: Message[] }).messages;
}

/** @throws {SessionError} `corrupt` if the file is not as long as its head says. Only the last line feed may be missing. */
export function require_size(size: number, head: SnapshotHead, path: string): void {
  const expected = head.offset + head.store.size + JSON_SUFFIX.length;
  if (size !== expected && size !== expected - 1) {
    throw corrupt(path, `it has ${size} bytes where ${expected} were written`);
  }
}

/**
 * A file that another writer made: an object with `metadata` and `messages`.
 * @throws {SessionError} `corrupt`.
 */
export function decode_foreign(bytes: Buffer, path: string): { metadata: FileMetadata; messages: Message[] } {
  require_text(bytes, path);
  const value = parse_json(bytes, path);
  if (!is_object(value) || !("metadata" in value || "messages" in value)) {
    throw new NotASession(path);
  }
  if (!is_object(value["metadata"]) || !Array.isArray(value["messages"])) {
    throw corrupt(path, "it is not an object with metadata and a list of messages");
  }
  const { metadata, messages, store } = value;
  require_writable(value, path);
  require_messages(messages, path);
  if (is_object(store) && !is_reformatted(store, metadata, messages)) {
    throw not_ours(path);
  }
  return { metadata: metadata, messages: messages };
}

/** @throws {SessionError} `corrupt`. */
export function require_messages(messages: unknown[], path: string): asserts messages is Message[] {
  const bad = messages.findIndex((message) => !is_object(message));
  if (bad >= 0) {
    throw corrupt(path, `message ${bad} is not an object`);
  }
}

/** Another tool has laid the file out anew, and changed nothing. */
function is_reformatted(store: Record<string, unknown>, metadata: unknown, messages: unknown[]): boolean {
  return is_reformatted_head(store, metadata) && store["messages"] === sum_of_messages(messages, JSON_SEPARATOR);
}

/** The same of metadata alone. */
export function is_reformatted_head(store: Record<string, unknown>, metadata: unknown): boolean {
  const { head, ...header } = store;
  return header["version"] === 1 && head === checksum(JSON.stringify(metadata), JSON.stringify(header).slice(0, -1));
}
