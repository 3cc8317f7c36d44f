import type { Message } from "@simulacra-ai/core";
import type { Pause } from "../../../async/time-slicer.js";
import { checksum, sum_of_messages } from "./checksum.js";
import {
  corrupt,
  is_object,
  not_ours,
  NotASession,
  parse_json,
  parse_object,
  require_text,
  require_writable,
} from "./corrupt.js";
import { any_end, scan_values, skip_mark, skip_space, value_end } from "./json-scanner.js";
import { require_message } from "./messages.js";
import type { FileMetadata, SnapshotHead, StoreHeader } from "./snapshot-header.js";

const METADATA_PREFIX = '{\n"metadata": ';
const STORE_PREFIX = ',\n"store": ';
const MESSAGES_PREFIX = ',\n"messages": [\n';
export const JSON_SUFFIX = /* @__PURE__ */ Buffer.from("\n]\n}\n");
/** Between two messages. */
export const JSON_SEPARATOR = ",\n";
const OPENING_BRACKET = 0x5b;

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

/** @throws {SessionError} `corrupt` if the file is not as long as its head says. Only the last line feed may be missing. */
export function require_size(size: number, head: SnapshotHead, path: string): void {
  const expected = head.offset + head.store.size + JSON_SUFFIX.length;
  if (size !== expected && size !== expected - 1) {
    throw corrupt(path, `it has ${size} bytes where ${expected} were written`);
  }
}

/**
 * Reads a file that another writer made: an object with `metadata` and `messages`, in any order.
 * @throws {SessionError} `corrupt`.
 */
export async function decode_foreign(bytes: Buffer, path: string, pause: Pause): Promise<ForeignSession> {
  const members = new Map<string, unknown>();
  const parse = (at: number, put: (value: unknown) => void): number | undefined => {
    const end = any_end(bytes, at);
    if (end !== undefined) {
      const text = bytes.subarray(at, end);
      require_text(text, path);
      put(parse_json(text, path));
    }
    return end;
  };
  const end = await scan_values(bytes, skip_space(bytes, skip_mark(bytes)), pause, (key, at) => {
    const name = key === "" ? "" : (parse_json(key, path) as string);
    if (name !== "messages" || bytes[at] !== OPENING_BRACKET) {
      return parse(at, (value) => members.set(name, value));
    }
    const messages: unknown[] = [];
    members.set(name, messages);
    return scan_values(bytes, at, pause, (_, at) => parse(at, (message) => messages.push(message)));
  });
  if (end === undefined || skip_space(bytes, end) < bytes.length) {
    require_text(bytes, path);
    parse_json(bytes, path); // tells where it is no JSON
  }
  if (end === undefined || !(members.has("metadata") || members.has("messages"))) {
    throw new NotASession(path);
  }
  const [metadata, messages, store] = ["metadata", "messages", "store"].map((key) => members.get(key));
  if (!is_object(metadata) || !Array.isArray(messages)) {
    throw corrupt(path, "it is not an object with metadata and a list of messages");
  }
  for (const [n, message] of messages.entries()) {
    require_message(message, n, path);
    await pause();
  }
  members.delete("messages");
  require_writable([...members.values()], path);
  if (is_object(store) && !(await is_reformatted(store, metadata, messages, pause))) {
    throw not_ours(path);
  }
  return { metadata, messages: messages as Message[] };
}

/** A session as another writer left it. */
interface ForeignSession {
  metadata: FileMetadata;
  messages: Message[];
}

/**
 * Reads the metadata in the first bytes of a file of another writer, if the metadata come first. Returns "incomplete" if
 * more bytes are needed.
 */
export function scan_metadata(bytes: Buffer): FileMetadata | "incomplete" | undefined {
  const opening = /^(?:\u00ef\u00bb\u00bf)?\s*\{\s*"metadata"\s*:\s*(?=\{)/.exec(bytes.toString("latin1", 0, 64));
  if (opening === null) {
    return undefined;
  }
  const begin = opening[0].length;
  const end = value_end(bytes, begin);
  return end === undefined ? "incomplete" : parse_object(bytes.subarray(begin, end));
}

/** Another tool has laid the file out anew, and changed nothing. */
async function is_reformatted(
  store: Record<string, unknown>,
  metadata: unknown,
  messages: unknown[],
  pause: Pause,
): Promise<boolean> {
  const is_ours = is_reformatted_head(store, metadata);
  return is_ours && store["messages"] === (await sum_of_messages(messages, JSON_SEPARATOR, pause));
}

/** The same of metadata alone. */
export function is_reformatted_head(store: Record<string, unknown>, metadata: unknown): boolean {
  const { head, ...header } = store;
  return header["version"] === 1 && head === checksum(JSON.stringify(metadata), JSON.stringify(header).slice(0, -1));
}
