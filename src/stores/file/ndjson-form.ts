import { isUtf8 } from "node:buffer";
import type { Message } from "@simulacra-ai/core";
import { checksum } from "./checksum.js";
import { corrupt, is_object, parse_json, require_writable } from "./corrupt.js";
import { remove_if_there, sync_directory } from "./durable-files.js";
import { write_all, type FileLayer, type FileStamp } from "./file-layer.js";
import { decode_store, encode_store, is_reformatted_head, JSON_SEPARATOR, require_messages } from "./json-text.js";
import { MessageRegion, write_messages } from "./message-region.js";
import { PreparedFile } from "./prepared-file.js";
import { is_too_large, read_beginning_now, read_file, type ReadFile } from "./regular-file.js";
import type { SessionPaths } from "./session-paths.js";
import {
  stamp_of,
  type FileMetadata,
  type PrepareContext,
  type ReadHead,
  type SnapshotContent,
  type SnapshotForm,
  type SnapshotHead,
  type StoreHeader,
} from "./snapshot-form.js";

const HEAD = ".meta.json";
const DATA = ".ndjson";
/** Messages that a head already names and that have yet to get their place. */
const NEXT = ".ndjson.next";
const STORE_PREFIX = ',\n"store":';
const SEPARATOR = "\n";
const COMMA_AND_NEWLINE = Buffer.from(JSON_SEPARATOR);
/** Usually more than there are. */
const HEAD_BYTES = 1024;

/**
 * Two files: the metadata, with the store's header as one more key, and a message a line. The rename of the first is
 * what counts: it says how many bytes of the second are the session's, and what their checksum is.
 */
export const NDJSON_FORM: SnapshotForm = {
  format: "ndjson",
  head_ending: HEAD,
  data_ending: DATA,
  head_path: (paths) => paths.file(HEAD),
  data_path: (paths) => paths.file(DATA),
  file_paths: (paths) => [paths.file(HEAD), paths.file(DATA), paths.file(NEXT)],

  async stamp(layer, paths) {
    const head = await layer.stat(paths.file(HEAD));
    const data = head && (await layer.stat(paths.file(DATA)));
    return head && (data ? stamp_of(head, data) : stamp_of(head));
  },

  stamp_now(layer, paths) {
    const head = layer.stat_now?.(paths.file(HEAD));
    const data = head && layer.stat_now?.(paths.file(DATA));
    return data && stamp_of(head, data);
  },

  read_head_now(layer, paths) {
    const data = layer.stat_now?.(paths.file(DATA));
    const path = paths.file(HEAD);
    const file = data && !is_too_large(data) ? read_beginning_now(layer, path, HEAD_BYTES) : undefined;
    if (data === undefined || file === undefined || file.bytes.length < file.stamp.size) {
      return undefined;
    }
    const read = decode_meta(file, data, path);
    return read.head && data.size >= read.head.store.size ? read : undefined;
  },

  async read_head(layer, paths) {
    const data = await layer.stat(paths.file(DATA));
    const read = await read_meta(layer, paths, data);
    const { head } = read ?? {};
    if (read && head === undefined) {
      require_data(data, read.metadata, paths);
    }
    if (data && is_too_large(data)) {
      throw corrupt(paths.file(DATA), `it has ${data.size} bytes, more than can be read`);
    }
    if (head && (data?.size ?? 0) < head.store.size && (await layer.stat(paths.file(NEXT))) === undefined) {
      throw corrupt(paths.file(DATA), `it has ${data?.size ?? 0} bytes where ${head.store.size} were written`);
    }
    return read;
  },

  async read(layer, paths) {
    const data = await read_file(layer, paths.file(DATA));
    const read = await read_meta(layer, paths, data?.stamp);
    if (read === undefined) {
      return undefined;
    }
    const { stamp, head, metadata } = read;
    if (head === undefined) {
      require_data(data?.stamp, metadata, paths);
      const messages = data ? decode_foreign_lines(data.bytes, paths.file(DATA)) : [];
      return { stamp, head, metadata, messages };
    }
    const bytes =
      written_bytes(data?.bytes, head) ?? written_bytes((await read_file(layer, paths.file(NEXT)))?.bytes, head);
    if (bytes === undefined) {
      throw corrupt(paths.file(DATA), "the messages are not those that were written");
    }
    return { stamp, head, metadata, messages: decode_lines(bytes, paths.file(DATA)) };
  },

  checksum: (texts) => checksum(texts.join(SEPARATOR)),

  async recover({ layer, policy, paths, lock }) {
    const next = await read_file(layer, paths.file(NEXT));
    if (next === undefined) {
      return;
    }
    const head = (await read_meta(layer, paths, undefined))?.head;
    const is_there = (bytes: Buffer | undefined) => head !== undefined && written_bytes(bytes, head) !== undefined;
    const is_missing = !is_there((await read_file(layer, paths.file(DATA)))?.bytes);
    await lock.require_held();
    if (is_missing && is_there(next.bytes)) {
      await layer.rename(paths.file(NEXT), paths.file(DATA));
    } else {
      await layer.unlink(paths.file(NEXT));
    }
    await sync_directory(layer, paths.root, policy);
  },

  async prepare(context, content, metadata, succession) {
    const { layer, policy, paths } = context;
    let written: { size: number; messages: string; stamp: FileStamp } | undefined;
    const file = await PreparedFile.write(context, paths.file(DATA), async (file) => {
      const region = new MessageRegion(file, { begin: 0, durable: policy.durable, content });
      const lines = { ...content, added: as_lines(content.added) };
      await write_messages(region, lines, { layer, path: paths.file(DATA), separator: Buffer.from(SEPARATOR) });
      const { size } = region;
      const messages = region.checksum();
      await write_all(file, Buffer.from(size > 0 ? SEPARATOR : ""), size);
      written = { size, messages, stamp: await file.stat() };
    });
    const { size, messages, stamp } = written as unknown as NonNullable<typeof written>;
    const { text, store } = encode_meta(metadata, { ...succession, size, messages });
    return {
      head: { metadata, store, offset: 0 },
      async put_in_place(lock, { before_rename, beside }) {
        const is_new = (await layer.stat(paths.file(HEAD))) === undefined;
        if (is_new) {
          await lock.require_held();
          await remove_if_there(layer, paths.file(NEXT));
        }
        let prepared: WrittenHead | undefined;
        const write = async () => void (prepared = await write_head({ ...context, token: lock.token }, text));
        await file.put_in_place(lock, paths.file(is_new ? DATA : NEXT), { before_rename, beside: write });
        const head = prepared as unknown as WrittenHead;
        await head.file.put_in_place(lock, paths.file(HEAD), { beside });
        if (!is_new) {
          await lock.require_held();
          await layer.rename(paths.file(NEXT), paths.file(DATA));
          if (beside === undefined) {
            await sync_directory(layer, paths.root, policy);
          }
        }
        return stamp_of(head.stamp, stamp);
      },
      discard: () => file.discard(),
    };
  },
};

/** Messages as they stand in a journal, one a line. The bytes of a piece count until the next one is asked for. */
async function* as_lines(pieces: SnapshotContent["added"]): AsyncGenerator<Buffer> {
  let lines = Buffer.alloc(0);
  for await (const piece of pieces) {
    if (lines.length < piece.length) {
      lines = Buffer.allocUnsafe(piece.length);
    }
    let length = 0;
    for (let at = 0; at < piece.length;) {
      const found = piece.indexOf(COMMA_AND_NEWLINE, at);
      const end = found < 0 ? piece.length : found;
      length += piece.copy(lines, length, at, end);
      at = found < 0 ? end : found + 1; // the separator's line feed begins the next line
    }
    yield lines.subarray(0, length);
  }
}

interface WrittenHead {
  file: PreparedFile;
  stamp: FileStamp;
}

/** The rename of this file is what counts: from then on the session is the new one. */
async function write_head(context: PrepareContext, text: string): Promise<WrittenHead> {
  let stamp: FileStamp | undefined;
  const file = await PreparedFile.write(context, context.paths.file(HEAD), async (file) => {
    await write_all(file, Buffer.from(text), 0);
    stamp = await file.stat();
  });
  return { file, stamp: stamp as unknown as FileStamp };
}

/** Another writer's metadata that speak of messages, without a file of them. @throws {SessionError} `corrupt`. */
function require_data(data: FileStamp | undefined, { message_count }: FileMetadata, paths: SessionPaths): void {
  if (data === undefined && (message_count ?? 0) > 0) {
    throw corrupt(paths.file(DATA), `it is missing, and should have ${message_count} messages`);
  }
}

/** The bytes that a head speaks of, if they are these. Behind them a fold may be under way. */
function written_bytes(bytes: Buffer | undefined, { store }: SnapshotHead): Buffer | undefined {
  const written = (bytes ?? Buffer.alloc(0)).subarray(0, store.size);
  return written.length === store.size && checksum(written) === store.messages ? written : undefined;
}

function encode_meta(metadata: FileMetadata, header: Omit<StoreHeader, "head">): { text: string; store: StoreHeader } {
  const json = JSON.stringify(metadata);
  const { text, store } = encode_store(json, header);
  return { text: `${json.slice(0, -1)}${STORE_PREFIX}${text}}\n`, store };
}

/** Whether a value is a store's header, under whatever key. */
function is_header(value: unknown): value is StoreHeader & Record<string, unknown> {
  return is_object(value) && "generation" in value && "head" in value;
}

type MetaHead = ReadHead & { metadata: FileMetadata };

async function read_meta(
  layer: FileLayer,
  paths: SessionPaths,
  data: FileStamp | undefined,
): Promise<MetaHead | undefined> {
  const path = paths.file(HEAD);
  const file = await read_file(layer, path);
  return file && decode_meta(file, data, path);
}

/** @throws {SessionError} `corrupt`. */
function decode_meta(file: ReadFile, data: FileStamp | undefined, path: string): MetaHead {
  const stamp = data ? stamp_of(file.stamp, data) : stamp_of(file.stamp);
  const { bytes } = file;
  const at = bytes.indexOf(STORE_PREFIX);
  if (at > 0 && bytes.subarray(-2).toString("latin1") === "}\n" && bytes.indexOf("\n", at + 2) === bytes.length - 1) {
    const json = Buffer.concat([bytes.subarray(0, at), Buffer.from("}")]);
    const { metadata, store } = decode_store(json, bytes.subarray(at + STORE_PREFIX.length, -2), path);
    return { stamp, head: { metadata, store, offset: 0 }, metadata };
  }
  const value = parse_json(bytes, path);
  if (!isUtf8(bytes) || !is_object(value)) {
    throw corrupt(path, "it is not an object with metadata");
  }
  require_writable(value, path);
  const { store, ...metadata } = value;
  if (Object.values(metadata).some(is_header) || (is_header(store) && !is_reformatted_head(store, metadata))) {
    throw corrupt(path, "it is not as this package wrote it; without its `store` it is read as it is");
  }
  return { stamp, head: is_header(store) ? { metadata, store, offset: 0 } : undefined, metadata };
}

/** A message a line; empty lines are none. @throws {SessionError} `corrupt`. */
function decode_lines(bytes: Buffer, path: string): Message[] {
  const text = bytes.toString();
  const messages: unknown[] = [];
  for (let begin = text.startsWith("\ufeff") ? 1 : 0; begin < text.length;) {
    const newline = text.indexOf("\n", begin);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(begin, end);
    if (line.trim() !== "") {
      messages.push(parse_json(line, path));
    }
    begin = end + 1;
  }
  require_messages(messages, path);
  return messages;
}

/** Lines of another writer: nothing is known of them. @throws {SessionError} `corrupt`. */
function decode_foreign_lines(bytes: Buffer, path: string): Message[] {
  if (!isUtf8(bytes)) {
    throw corrupt(path, "it is not UTF-8 text");
  }
  const messages = decode_lines(bytes, path);
  require_writable(messages, path);
  return messages;
}
