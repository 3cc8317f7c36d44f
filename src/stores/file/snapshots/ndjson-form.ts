import type { Message } from "@simulacra-ai/core";
import { pauses, type Pause } from "../../../async/time-slicer.js";
import { ignore } from "../../../errors.js";
import {
  corrupt,
  is_object,
  not_ours,
  NotASession,
  parse_json,
  parse_object,
  require_text,
  without_mark,
  wrong_messages,
} from "../format/corrupt.js";
import { decode_store, encode_store, is_reformatted_head, JSON_SEPARATOR } from "../format/json-text.js";
import { parse_foreign_lines } from "../format/messages.js";
import type { FileMetadata, SnapshotHead, StoreHeader } from "../format/snapshot-header.js";
import { keep_aside, remove_if_there, sync_directory, with_file } from "../fs/durable-files.js";
import { same_stamp, write_all, type FileLayer, type FileStamp, type OpenFile } from "../fs/file-layer.js";
import { PreparedFile } from "../fs/prepared-file.js";
import { open_regular, read_all, read_file, read_regular, type OpenedFile, type ReadFile } from "../fs/regular-file.js";
import { ForeignWrite } from "../foreign-write.js";
import type { SessionPaths } from "../session-paths.js";
import { holds_messages, read_messages, write_messages } from "./message-region.js";
import {
  stamp_of,
  type ChangeContext,
  type ReadHead,
  type SnapshotContent,
  type SnapshotForm,
} from "./snapshot-form.js";

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

  check_head(bytes, path) {
    decode_meta(bytes, path);
  },

  async read(layer, paths) {
    const path = paths.file(DATA);
    const data = await open_regular(layer, path); // before the head: a writer replaces it behind that
    const read = async () => {
      const file = await read_file(layer, paths.file(HEAD));
      if (!file) {
        return undefined;
      }
      const stamp = stamp_of(file.stamp, data?.stamp);
      const { head, metadata } = require_meta(file, paths, data !== undefined);
      if (!head && !data && !KNOWN_KEYS.some((key) => key in metadata)) {
        throw new NotASession(paths.file(HEAD));
      }
      const pause = pauses();
      const ours = head && (await read_named(layer, paths, data, head, pause));
      if (ours) {
        return { stamp, head, metadata, messages: ours };
      }
      const expected = metadata.message_count ?? 0;
      if (head ? (data?.stamp.size ?? 0) <= size_of(head) : data === undefined && expected > 0) {
        throw wrong_messages(path);
      }
      const bytes = data ? await read_all(data.file, data.stamp, path) : Buffer.alloc(0);
      const messages = await parse_foreign_lines(bytes, path, pause);
      const is_unsettled = head !== undefined || messages.length < expected;
      return { stamp, head: undefined, metadata, messages, is_unsettled };
    };
    return data ? with_file(data.file, read) : read();
  },

  async recover(context) {
    const { layer, policy, paths, lock } = context;
    const kind = (await layer.stat(paths.file(NEXT)))?.kind;
    if (kind === undefined) {
      return;
    }
    if (kind !== "file") {
      await lock.require_held();
      await remove_if_there(layer, paths.file(NEXT)); // nothing of ours
      return;
    }
    const file = await read_file(layer, paths.file(HEAD));
    const head = file && require_meta(file, paths, true).head;
    const state = head && (await state_of_next(layer, paths, head));
    await lock.require_held();
    if (!head || !state) {
      await remove_if_there(layer, paths.file(NEXT));
    } else {
      if (state.size > size_of(head)) {
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
      async put_in_place(lock, before_rename) {
        const is_new = (await layer.stat(paths.file(HEAD))) === undefined;
        if (is_new) {
          await lock.require_held();
          await remove_if_there(layer, paths.file(NEXT));
        }
        await file.put_in_place(lock, paths.file(is_new ? DATA : NEXT), before_rename);
        const head = await PreparedFile.write({ ...context, token: lock.token }, paths.file(HEAD), (file) =>
          write_all(file, Buffer.from(text), 0),
        );
        const before_head = async () => {
          try {
            await before_rename();
          } catch (error) {
            await (error instanceof ForeignWrite && remove_if_there(layer, paths.file(NEXT)));
            throw error;
          }
        };
        const old = await layer.stat(paths.file(DATA));
        await head.put_in_place(lock, paths.file(HEAD), before_head);
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
          await sync_directory(layer, paths.root, policy);
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

/** True if a file is as long as the messages that a head names. */
function has_size_of(file: FileStamp | undefined, head: SnapshotHead): boolean {
  const size = file?.size ?? 0;
  return size >= head.store.size && size <= size_of(head);
}

/** True if another program has added lines to the file in place since the next messages were written. */
function is_outdated(next: FileStamp, data: FileStamp | undefined, head: SnapshotHead): boolean {
  return data !== undefined && data.size > size_of(head) && data.mtime_ns > next.mtime_ns;
}

/** Reads the messages that a head names, wherever they are. Returns `undefined` if they are nowhere. */
async function read_named(
  layer: FileLayer,
  paths: SessionPaths,
  data: OpenedFile | undefined,
  head: SnapshotHead,
  pause: Pause,
): Promise<Message[] | undefined> {
  const in_place = has_size_of(data?.stamp, head) && (await read_region(data?.file, head, paths.file(DATA), pause));
  if (in_place) {
    return in_place;
  }
  const path = paths.file(NEXT);
  const read = async (file: OpenFile, stamp: FileStamp) =>
    is_outdated(stamp, data?.stamp, head) ? undefined : read_region(file, head, path, pause);
  return read_regular(layer, path, read).catch(ignore("corrupt"));
}

function read_region(file: OpenFile | undefined, head: SnapshotHead, path: string, pause: Pause) {
  return file ? read_messages(file, head, path, pause) : Promise.resolve([]);
}

/** Looks at messages that have yet to get their place. Returns `undefined` if a head does not name them, or no more. */
async function state_of_next(
  layer: FileLayer,
  paths: SessionPaths,
  head: SnapshotHead,
): Promise<FileStamp | undefined> {
  const pause = pauses();
  const look = async (file: OpenFile, stamp: FileStamp) => ({ stamp, holds: await holds_messages(file, head, pause) });
  const data = await read_regular(layer, paths.file(DATA), look);
  const is_in_place = data ? has_size_of(data.stamp, head) && data.holds : head.store.size === 0;
  const next = is_in_place ? undefined : await read_regular(layer, paths.file(NEXT), look);
  return next?.holds === true && !is_outdated(next.stamp, data?.stamp, head) ? next.stamp : undefined;
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
  const { head, metadata } = decode_meta(file.bytes, paths.file(HEAD)) ?? {};
  const is_in_step =
    data && (head ? data.size >= head.store.size && data.size <= size_of(head) : data.mtime_ns <= file.stamp.mtime_ns);
  const stamp = stamp_of(file.stamp, data);
  return is_in_step ? { stamp, head, metadata } : { stamp, head: undefined, metadata: undefined };
}

interface Meta {
  head: SnapshotHead | undefined;
  metadata: FileMetadata;
}

/** @throws {SessionError} `corrupt`. */
function require_meta(file: ReadFile, paths: SessionPaths, has_messages: boolean): Meta {
  const path = paths.file(HEAD);
  const meta = decode_meta(file.bytes, path);
  if (meta) {
    return meta;
  }
  require_text(file.bytes, path);
  const value = parse_json(file.bytes, path);
  const may_be_ours = has_messages || is_object(value);
  throw may_be_ours ? corrupt(path, "it is not an object with metadata, or nested too deep") : new NotASession(path);
}

/** Reads metadata, ours or another writer's. `undefined`: they are no object. @throws {SessionError} `corrupt`. */
function decode_meta(bytes: Buffer, path: string): Meta | undefined {
  const at = bytes.indexOf(STORE_PREFIX);
  const is_closed = bytes.subarray(-2).toString("latin1") === "}\n";
  if (bytes[0] === 0x7b && at > 0 && is_closed && bytes.indexOf("\n", at + 2) === bytes.length - 1) {
    const json = Buffer.concat([bytes.subarray(0, at), Buffer.from("}")]);
    const { metadata, store } = decode_store(json, bytes.subarray(at + STORE_PREFIX.length, -2), path);
    return { head: { metadata, store, offset: 0 }, metadata };
  }
  const value = parse_object(bytes);
  if (!value) {
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
