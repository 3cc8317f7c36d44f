import { isUtf8 } from "node:buffer";
import type { Message } from "@simulacra-ai/core";
import { checksum } from "./checksum.js";
import { copy_checked } from "./copy-checked.js";
import { corrupt, is_object, parse_json } from "./corrupt.js";
import { remove_if_there, replace_file, sync_directory, with_file } from "./durable-files.js";
import { write_all, type FileLayer, type FileStamp } from "./file-layer.js";
import { decode_store, encode_store, JSON_SEPARATOR, require_messages } from "./json-text.js";
import { is_too_large, read_file } from "./regular-file.js";
import type { SessionPaths } from "./session-paths.js";
import {
  stamp_of,
  type ChangeContext,
  type FileMetadata,
  type ReadHead,
  type SnapshotForm,
  type SnapshotHead,
  type StoreHeader,
  type WrittenSnapshot,
} from "./snapshot-form.js";

const HEAD = ".meta.json";
const DATA = ".ndjson";
/** Messages that a head already names and that have yet to get their place. */
const NEXT = ".ndjson.next";
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
  head_path: (paths) => paths.file(HEAD),
  data_path: (paths) => paths.file(DATA),
  file_paths: (paths) => [paths.file(HEAD), paths.file(DATA), paths.file(NEXT)],

  async stamp(layer, paths) {
    const head = await layer.stat(paths.file(HEAD));
    const data = head && (await layer.stat(paths.file(DATA)));
    return head && (data ? stamp_of(head, data) : stamp_of(head));
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
      return { stamp, head, metadata, messages: data ? decode_lines(data.bytes, paths.file(DATA)) : [] };
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
    if (head && next.bytes.length === file_size(head) && written_bytes(next.bytes, head)) {
      await lock.require_held();
      await layer.rename(paths.file(NEXT), paths.file(DATA));
    } else {
      await layer.unlink(paths.file(NEXT));
    }
    await sync_directory(layer, paths.root, policy);
  },

  async write(context, texts, metadata, succession) {
    const { layer, policy, paths, lock } = context;
    const region = Buffer.from(texts.join(SEPARATOR));
    const is_new = (await layer.stat(paths.file(HEAD))) === undefined;
    let data: FileStamp | undefined;
    await remove_if_there(layer, paths.file(NEXT));
    await replace_file(layer, paths.file(is_new ? DATA : NEXT), {
      temporary: paths.temporary(lock.token),
      policy,
      write: async (file) => {
        await write_all(file, region, 0);
        await write_all(file, Buffer.from(region.length > 0 ? SEPARATOR : ""), region.length);
        data = await file.stat();
      },
      before_rename: () => lock.require_held(),
    });
    const header = { ...succession, size: region.length, messages: checksum(region) };
    const written = await commit(context, metadata, header, data as unknown as FileStamp);
    if (!is_new) {
      await lock.require_held();
      await layer.rename(paths.file(NEXT), paths.file(DATA));
      await sync_directory(layer, paths.root, policy);
    }
    return written;
  },

  async extend(context, head, added, metadata, succession) {
    const { layer, policy, paths, lock } = context;
    const lines = added.map((part) => part.toString("latin1").replaceAll(JSON_SEPARATOR, SEPARATOR)).join(SEPARATOR);
    const first = head.store.size === 0 || lines === "" ? "" : SEPARATOR;
    const tail = Buffer.from(first + lines, "latin1");
    const messages = await copy_checked(layer, paths.file(DATA), head, tail, () => Promise.resolve());
    const size = head.store.size + tail.length;
    const data = await with_file(await layer.open(paths.file(DATA), "modify"), async (file) => {
      if (tail.length > 0) {
        await lock.require_held();
        await file.truncate(head.store.size); // what another fold has left
        await write_all(file, Buffer.concat([tail, Buffer.from(SEPARATOR)]), head.store.size);
        if (policy.durable) {
          await file.sync();
        }
      }
      return file.stat();
    });
    return commit(context, metadata, { ...succession, size, messages }, data);
  },
};

/** Another writer's metadata that speak of messages, without a file of them. @throws {SessionError} `corrupt`. */
function require_data(data: FileStamp | undefined, { message_count }: FileMetadata, paths: SessionPaths): void {
  if (data === undefined && (message_count ?? 0) > 0) {
    throw corrupt(paths.file(DATA), `it is missing, and should have ${message_count} messages`);
  }
}

function file_size({ store }: SnapshotHead): number {
  return store.size === 0 ? 0 : store.size + SEPARATOR.length;
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

async function read_meta(
  layer: FileLayer,
  paths: SessionPaths,
  data: FileStamp | undefined,
): Promise<(ReadHead & { metadata: FileMetadata }) | undefined> {
  const path = paths.file(HEAD);
  const file = await read_file(layer, path);
  if (file === undefined) {
    return undefined;
  }
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
  const { store: _store, ...metadata } = value;
  return { stamp, head: undefined, metadata: metadata };
}

/** @throws {SessionError} `corrupt`. */
function decode_lines(bytes: Buffer, path: string): Message[] {
  if (!isUtf8(bytes)) {
    throw corrupt(path, "it is not UTF-8 text");
  }
  const lines = bytes
    .toString()
    .split("\n")
    .filter((line) => line.trim() !== "");
  const messages = parse_json(`[${lines.join(",")}]`, path) as unknown[];
  require_messages(messages, path);
  if (messages.length !== lines.length) {
    throw corrupt(path, `it has ${lines.length} lines and ${messages.length} messages`);
  }
  return messages;
}

/** Renames the new metadata over the old: from then on the session is the new one. */
async function commit(
  { layer, policy, paths, lock }: ChangeContext,
  metadata: FileMetadata,
  header: Omit<StoreHeader, "head">,
  data: FileStamp,
): Promise<WrittenSnapshot> {
  const { text, store } = encode_meta(metadata, header);
  let stamp: FileStamp | undefined;
  await replace_file(layer, paths.file(HEAD), {
    temporary: paths.temporary(lock.token),
    policy,
    write: async (file) => {
      await write_all(file, Buffer.from(text), 0);
      stamp = await file.stat();
    },
    before_rename: () => lock.require_held(),
  });
  return { head: { metadata, store, offset: 0 }, stamp: stamp_of(stamp as unknown as FileStamp, data) };
}
