import type { Message } from "@simulacra-ai/core";
import { ignore } from "../../../errors.js";
import { checksum } from "../format/checksum.js";
import {
  corrupt,
  is_object,
  not_ours,
  NotASession,
  parse_json,
  parse_object,
  require_text,
  require_writable,
  without_mark,
  wrong_messages,
} from "../format/corrupt.js";
import { keep_aside, remove_if_there, sync_directory, with_file } from "../fs/durable-files.js";
import { same_stamp, write_all, type FileStamp } from "../fs/file-layer.js";
import { ForeignWrite } from "../foreign-write.js";
import {
  decode_store,
  encode_store,
  is_reformatted_head,
  JSON_SEPARATOR,
  require_messages,
} from "../format/json-text.js";
import { write_messages } from "./message-region.js";
import { PreparedFile } from "../fs/prepared-file.js";
import { is_too_large, read_file, type ReadFile } from "../fs/regular-file.js";
import type { SessionPaths } from "../session-paths.js";
import {
  stamp_of,
  type ChangeContext,
  type ReadHead,
  type SnapshotContent,
  type SnapshotForm,
} from "./snapshot-form.js";
import { type FileMetadata, type SnapshotHead, type StoreHeader } from "../format/snapshot-header.js";

const HEAD = ".meta.json";
const DATA = ".ndjson";
/** Messages that a head already names and that have yet to get their place. */
const NEXT = ".ndjson.next";
/** Every writer's metadata have one of these. */
const KNOWN_KEYS = ["id", "created_at", "updated_at", "message_count", "label", "parent_id"];
const STORE_PREFIX = ',\n"store":';
const SEPARATOR = "\n";

/**
 * Two files: the metadata, with the store's header as one more key, and a message a line. The rename of the first is
 * what counts: it says how many bytes of the second are the session's, and what their checksum is.
 */
export const NDJSON_FORM: SnapshotForm = {
  format: "ndjson",
  head_ending: HEAD,
  data_ending: DATA,
  endings: [HEAD, DATA, NEXT],
  separator: SEPARATOR,

  async read_head(layer, paths) {
    const data = await layer.stat(paths.file(DATA));
    const file = await read_file(layer, paths.file(HEAD));
    return file && head_of(file, data, paths);
  },

  async read(layer, paths) {
    const path = paths.file(DATA);
    const data = await read_file(layer, path);
    const file = await read_file(layer, paths.file(HEAD));
    if (file === undefined) {
      return undefined;
    }
    const stamp = stamp_of(file.stamp, data?.stamp);
    const { head, metadata } = require_meta(file, paths);
    if (head === undefined && data === undefined && !KNOWN_KEYS.some((key) => key in metadata)) {
      throw new NotASession(paths.file(HEAD));
    }
    const bytes = data?.bytes ?? Buffer.alloc(0);
    const written =
      head &&
      (named_bytes(data, head) ??
        next_bytes(await read_file(layer, paths.file(NEXT)).catch(ignore("corrupt")), data, head));
    if (written !== undefined) {
      return { stamp, head, metadata, messages: decode_lines(written, path) };
    }
    const expected = metadata.message_count ?? 0;
    if (head ? bytes.length <= size_of(head) : data === undefined && expected > 0) {
      throw wrong_messages(path);
    }
    const messages = decode_foreign_lines(bytes, path);
    const is_unsettled = head !== undefined || messages.length < expected;
    return { stamp, head: undefined, metadata, messages, is_unsettled };
  },

  async recover(context) {
    const { layer, policy, paths, lock } = context;
    const kind = (await layer.stat(paths.file(NEXT)))?.kind;
    if (kind !== undefined && kind !== "file") {
      await lock.require_held();
      await remove_if_there(layer, paths.file(NEXT)); // nothing of ours
    }
    const next = await read_file(layer, paths.file(NEXT));
    if (next === undefined) {
      return;
    }
    const file = await read_file(layer, paths.file(HEAD));
    const head = file && require_meta(file, paths).head;
    const data = await read_file(layer, paths.file(DATA));
    await lock.require_held();
    if (head === undefined || named_bytes(data, head) || next_bytes(next, data, head) === undefined) {
      await layer.unlink(paths.file(NEXT));
    } else {
      if (next.bytes.length > size_of(head)) {
        await cut_next(context, head); // a writer whose lock was broken has put more there
      }
      await layer.rename(paths.file(NEXT), paths.file(DATA));
    }
    await sync_directory(layer, paths.root, policy);
  },

  async prepare(context, content, metadata, succession) {
    const { layer, policy, paths } = context;
    let size = 0;
    let messages = "";
    const file = await PreparedFile.write(context, paths.file(DATA), async (file) => {
      const lines = { ...content, added: messages_in(content.added) };
      const place = { context, path: paths.file(DATA), separator: SEPARATOR };
      ({ size, checksum: messages } = await write_messages(file, 0, lines, place));
      await write_all(file, Buffer.from(size > 0 ? SEPARATOR : ""), size);
    });
    const { text, store } = encode_meta(metadata, { ...succession, size, messages });
    return {
      head: { metadata, store, offset: 0 },
      async put_in_place(lock, { before_rename, beside }) {
        const is_new = (await layer.stat(paths.file(HEAD))) === undefined;
        if (is_new) {
          await lock.require_held();
          await remove_if_there(layer, paths.file(NEXT));
        }
        let prepared: PreparedFile | undefined;
        const write_head = async () => {
          prepared = await PreparedFile.write({ ...context, token: lock.token }, paths.file(HEAD), (file) =>
            write_all(file, Buffer.from(text), 0),
          );
        };
        await file.put_in_place(lock, paths.file(is_new ? DATA : NEXT), { before_rename, beside: write_head });
        const head = prepared as unknown as PreparedFile;
        const before_head = async () => {
          try {
            await before_rename();
          } catch (error) {
            await (error instanceof ForeignWrite && remove_if_there(layer, paths.file(NEXT)));
            throw error;
          }
        };
        const old = await layer.stat(paths.file(DATA));
        await head.put_in_place(lock, paths.file(HEAD), { before_rename: before_head, beside });
        if (!is_new) {
          const has_moved = !same_stamp(await layer.stat(paths.file(DATA)), old);
          if (has_moved && !same_stamp(await layer.stat(paths.file(HEAD)), head.stamp)) {
            throw new ForeignWrite(paths.id); // both files are another program's: they are the session
          }
          await lock.require_held();
          if (has_moved) {
            await keep_aside(layer, paths.file(DATA), "conflict");
          }
          await layer.rename(paths.file(NEXT), paths.file(DATA));
          if (beside === undefined) {
            await sync_directory(layer, paths.root, policy);
          }
        }
        return stamp_of(head.stamp, file.stamp);
      },
      discard: () => file.discard(),
    };
  },
};

/** Splits pieces of a journal into messages. A message counts until the next one is asked for. */
async function* messages_in(pieces: SnapshotContent["added"]): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    for (let at = 0, end = 0; at < piece.length; at = end + JSON_SEPARATOR.length) {
      const found = piece.indexOf(JSON_SEPARATOR, at);
      end = found < 0 ? piece.length : found;
      yield piece.subarray(at, end);
    }
  }
}

/** Leaves no more than the messages that a head names. */
async function cut_next({ layer, paths }: ChangeContext, head: SnapshotHead): Promise<void> {
  await with_file(await layer.open(paths.file(NEXT), "modify"), async (file) => {
    await file.truncate(size_of(head));
    await file.sync();
  });
}

/** The length of a file with the messages that a head names. Only the last line feed may be missing. */
function size_of({ store: { size } }: SnapshotHead): number {
  return size > 0 ? size + SEPARATOR.length : 0;
}

/** The messages that a head names, if a file begins with them. */
function first_bytes(bytes: Buffer, { store }: SnapshotHead): Buffer | undefined {
  const written = bytes.subarray(0, store.size);
  return written.length === store.size && checksum(written) === store.messages ? written : undefined;
}

/** The messages that a head names, if the file in place holds these and nothing else. */
function named_bytes(data: ReadFile | undefined, head: SnapshotHead): Buffer | undefined {
  const bytes = data?.bytes ?? Buffer.alloc(0);
  return bytes.length > size_of(head) ? undefined : first_bytes(bytes, head);
}

/**
 * The messages that a head names and that have yet to get their place. `undefined`: there are none, or another program
 * has added lines to the file in place since.
 */
function next_bytes(next: ReadFile | undefined, data: ReadFile | undefined, head: SnapshotHead): Buffer | undefined {
  if (next === undefined || (data && data.bytes.length > size_of(head) && data.stamp.mtime_ns > next.stamp.mtime_ns)) {
    return undefined;
  }
  return first_bytes(next.bytes, head);
}

function encode_meta(metadata: FileMetadata, header: Omit<StoreHeader, "head">): { text: string; store: StoreHeader } {
  const json = JSON.stringify(metadata);
  const { text, store } = encode_store(json, header);
  return { text: `${json.slice(0, -1)}${STORE_PREFIX}${text}}\n`, store };
}

/** Tells a store's header, under whatever key. */
function is_header(value: unknown): value is Record<string, unknown> {
  return is_object(value) && "generation" in value && "head" in value;
}

/** Returns what a head says, as long as the file of messages may be the one that belongs to it. */
function head_of(file: ReadFile, data: FileStamp | undefined, paths: SessionPaths): ReadHead {
  const { head, metadata } = decode_meta(file, paths) ?? {};
  const is_in_step =
    data &&
    !is_too_large(data) &&
    (head ? data.size >= head.store.size && data.size <= size_of(head) : data.mtime_ns <= file.stamp.mtime_ns);
  const stamp = stamp_of(file.stamp, data);
  return is_in_step ? { stamp, head, metadata } : { stamp, head: undefined, metadata: undefined };
}

interface Meta {
  head: SnapshotHead | undefined;
  metadata: FileMetadata;
}

/** @throws {SessionError} `corrupt`. */
function require_meta(file: ReadFile, paths: SessionPaths): Meta {
  const meta = decode_meta(file, paths);
  if (meta !== undefined) {
    return meta;
  }
  const path = paths.file(HEAD);
  require_text(file.bytes, path);
  const value = parse_json(file.bytes, path);
  throw is_object(value) ? corrupt(path, "it is nested too deep") : new NotASession(path);
}

/** Reads metadata, ours or another writer's. `undefined`: they are no object. @throws {SessionError} `corrupt`. */
function decode_meta({ bytes }: ReadFile, paths: SessionPaths): Meta | undefined {
  const path = paths.file(HEAD);
  const at = bytes.indexOf(STORE_PREFIX);
  const is_closed = bytes.subarray(-2).toString("latin1") === "}\n";
  if (bytes[0] === 0x7b && at > 0 && is_closed && bytes.indexOf("\n", at + 2) === bytes.length - 1) {
    const json = Buffer.concat([bytes.subarray(0, at), Buffer.from("}")]);
    const { metadata, store } = decode_store(json, bytes.subarray(at + STORE_PREFIX.length, -2), path);
    return { head: { metadata, store, offset: 0 }, metadata };
  }
  const value = parse_object(bytes);
  if (value === undefined) {
    return undefined;
  }
  const { store, ...metadata } = value;
  const is_ours = Object.values(value).some(is_header);
  if (is_ours && !is_rewritten(bytes, value) && !(is_header(store) && is_reformatted_head(store, metadata))) {
    throw not_ours(path);
  }
  return { head: undefined, metadata };
}

/**
 * Tells metadata that another program has written, with our `store` as one more key. Nothing that damages a few bytes
 * turns our layout into an indented one, or takes out the only line feed between two keys.
 */
function is_rewritten(bytes: Buffer, value: unknown): boolean {
  const text = without_mark(bytes.toString()).trim();
  return !text.startsWith('{"') || text === JSON.stringify(value);
}

/** A message a line; empty lines are none. @throws {SessionError} `corrupt`. */
function decode_lines(bytes: Buffer, path: string): Message[] {
  const lines = without_mark(bytes.toString()).split("\n");
  const messages = lines.filter((line) => line.trim() !== "").map((line) => parse_json(line, path));
  require_messages(messages, path);
  return messages;
}

/** Lines of another writer: nothing is known of them. @throws {SessionError} `corrupt`. */
function decode_foreign_lines(bytes: Buffer, path: string): Message[] {
  require_text(bytes, path);
  const messages = decode_lines(bytes, path);
  require_writable(messages, path);
  return messages;
}
