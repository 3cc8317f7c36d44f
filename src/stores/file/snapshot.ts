import { isUtf8 } from "node:buffer";
import { SessionError } from "../../errors.js";
import type { MetadataPatch } from "../../metadata.js";
import type { Message } from "@simulacra-ai/core";
import { checksum } from "./checksum.js";

/** What the store notes of a snapshot, in the file itself. A writer that knows nothing of it drops it. */
export interface StoreHeader {
  version: 1;
  generation: string;
  /** The generation that this one replaced; its journal is done with, as far as `folded` says. */
  previous: string | null;
  /** How many records of the journal of `previous` are in here. */
  folded: number;
  /** The revision of the messages in here. */
  revision: string;
  /** Bytes from the first message to the last. */
  size: number;
  /** Checksum of these bytes. */
  messages: string;
  /** Checksum of the metadata's JSON text. */
  metadata: string;
}

/** What a file says of its session; `id`, dates and count may be missing or wrong. */
export type FileMetadata = MetadataPatch;

export interface SnapshotHead {
  metadata: FileMetadata;
  store: StoreHeader;
  /** Where the first message begins. */
  offset: number;
}

const METADATA_PREFIX = '{\n"metadata": ';
const STORE_PREFIX = ',\n"store": ';
const MESSAGES_PREFIX = ',\n"messages": [\n';
const SUFFIX = "\n]\n}\n";
export const SNAPSHOT_SUFFIX = Buffer.from(SUFFIX);
/** Between two messages. */
export const SEPARATOR = Buffer.from(",\n");

/** The text of a snapshot up to its first message. */
export function encode_head(
  metadata: FileMetadata,
  store: Omit<StoreHeader, "metadata">,
): { bytes: Buffer; store: StoreHeader } {
  const json = JSON.stringify(metadata);
  const header: StoreHeader = { ...store, metadata: checksum(json) };
  const text = METADATA_PREFIX + json + STORE_PREFIX + JSON.stringify(header) + MESSAGES_PREFIX;
  return { bytes: Buffer.from(text), store: header };
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
  const store = parse_json(bytes.subarray(metadata_end + STORE_PREFIX.length, store_end), path) as StoreHeader;
  if (store.version !== 1) {
    throw corrupt(path, `it was written by a newer version of this package (${JSON.stringify(store.version)})`);
  }
  if (checksum(json) !== store.metadata) {
    throw corrupt(path, "the metadata are not those that were written");
  }
  return { metadata: parse_json(json, path) as FileMetadata, store, offset: store_end + MESSAGES_PREFIX.length };
}

/** What a whole snapshot file holds; `head` only where it is one of ours. */
export interface Snapshot {
  head: SnapshotHead | undefined;
  metadata: FileMetadata;
  messages: Message[];
}

/**
 * @throws {SessionError} `corrupt`.
 */
export function decode_snapshot(bytes: Buffer, path: string): Snapshot {
  const head = decode_head(bytes, true, path);
  if (head === undefined || head === "incomplete") {
    return { head: undefined, ...decode_foreign(bytes, path) };
  }
  const region = require_whole(bytes, head, path);
  if (checksum(region) !== head.store.messages) {
    throw corrupt(path, "the messages are not those that were written");
  }
  // The whole text costs less than a part of it: a part would have to be copied between brackets first.
  const { messages } = parse_json(bytes, path) as { messages: Message[] };
  return { head, metadata: head.metadata, messages };
}

function require_whole(bytes: Buffer, head: SnapshotHead, path: string): Buffer {
  const end = head.offset + head.store.size;
  if (bytes.length !== end + SNAPSHOT_SUFFIX.length || !bytes.subarray(end).equals(SNAPSHOT_SUFFIX)) {
    throw corrupt(path, `it has ${bytes.length} bytes where ${end + SNAPSHOT_SUFFIX.length} were written`);
  }
  return bytes.subarray(head.offset, end);
}

/** How long the file of this head must be. */
export function expected_size(head: SnapshotHead): number {
  return head.offset + head.store.size + SNAPSHOT_SUFFIX.length;
}

/** A file that another writer made: an object with `metadata` and `messages`. */
function decode_foreign(bytes: Buffer, path: string): { metadata: FileMetadata; messages: Message[] } {
  if (!isUtf8(bytes)) {
    throw corrupt(path, "it is not UTF-8 text");
  }
  const value = parse_json(bytes, path);
  if (!is_object(value) || !is_object(value["metadata"]) || !Array.isArray(value["messages"])) {
    throw corrupt(path, "it is not an object with metadata and a list of messages");
  }
  const bad = value["messages"].findIndex((message) => !is_object(message));
  if (bad >= 0) {
    throw corrupt(path, `message ${bad} is not an object`);
  }
  if (is_object(value["store"]) && !is_reformatted(value["store"], value["metadata"], value["messages"])) {
    throw corrupt(path, "it is not as this package wrote it; without its `store` it is read as it is");
  }
  return { metadata: value["metadata"], messages: value["messages"] as Message[] };
}

/** The checksum that a snapshot with these messages carries, whoever wrote it. */
export function messages_checksum(messages: readonly unknown[]): string {
  return checksum(messages.map((message) => JSON.stringify(message)).join(SEPARATOR.toString()));
}

/** Another tool has laid the file out anew, and changed nothing. */
function is_reformatted(store: Record<string, unknown>, metadata: unknown, messages: unknown[]): boolean {
  return store["metadata"] === checksum(JSON.stringify(metadata)) && store["messages"] === messages_checksum(messages);
}

export function is_object(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parse_json(bytes: Buffer, path: string): unknown {
  try {
    const text = bytes.toString();
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  } catch (error) {
    throw corrupt(path, error instanceof Error ? error.message : String(error), error);
  }
}

export function corrupt(path: string, reason: string, cause?: unknown): SessionError {
  return new SessionError("corrupt", `${path} is damaged: ${reason}`, {
    path,
    ...(cause !== undefined && { cause }),
  });
}
