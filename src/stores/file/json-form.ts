import { checksum } from "./checksum.js";
import { replace_file } from "./durable-files.js";
import { read_range, write_all, type FileStamp, type OpenFile } from "./file-layer.js";
import { scan_metadata } from "./foreign-head.js";
import { copy_checked } from "./copy-checked.js";
import {
  decode_foreign,
  decode_head,
  decode_messages,
  encode_head,
  JSON_SEPARATOR,
  JSON_SUFFIX,
  require_size,
} from "./json-text.js";
import { read_file, read_regular } from "./regular-file.js";
import {
  stamp_of,
  type ChangeContext,
  type FileMetadata,
  type SnapshotForm,
  type SnapshotHead,
  type StoreHeader,
  type WrittenSnapshot,
} from "./snapshot-form.js";

const HEAD_BYTES = 4096;

/** One file: metadata, the store's header and the messages in one JSON object. */
export const JSON_FORM: SnapshotForm = {
  format: "json",
  head_ending: ".json",
  data_ending: ".json",
  head_path: (paths) => paths.file(".json"),
  data_path: (paths) => paths.file(".json"),
  file_paths: (paths) => [paths.file(".json")],

  async stamp(layer, paths) {
    const stamp = await layer.stat(paths.file(".json"));
    return stamp && stamp_of(stamp);
  },

  async read_head(layer, paths) {
    const path = paths.file(".json");
    return read_regular(layer, path, async (file, file_stamp) => {
      const stamp = stamp_of(file_stamp);
      for (let length = HEAD_BYTES; ; length *= 4) {
        const bytes = await read_range(file, 0, Math.min(length, file_stamp.size));
        const whole = bytes.length >= file_stamp.size;
        const head = decode_head(bytes, whole, path);
        if (head !== undefined && head !== "incomplete") {
          require_size(file_stamp.size, head, path);
          return { stamp, head, metadata: head.metadata };
        }
        const scanned = head === undefined ? scan_metadata(bytes) : head;
        if (scanned !== "incomplete" || whole) {
          return { stamp, head: undefined, metadata: scanned === "incomplete" ? undefined : scanned };
        }
      }
    });
  },

  async read(layer, paths) {
    const path = paths.file(".json");
    const file = await read_file(layer, path);
    if (file === undefined) {
      return undefined;
    }
    const stamp = stamp_of(file.stamp);
    const head = decode_head(file.bytes, true, path);
    if (head === undefined || head === "incomplete") {
      return { stamp, head: undefined, ...decode_foreign(file.bytes, path) };
    }
    return { stamp, head, metadata: head.metadata, messages: decode_messages(file.bytes, head, path) };
  },

  checksum: (texts) => checksum(texts.join(JSON_SEPARATOR)),

  recover: () => Promise.resolve(),

  async write(context, texts, metadata, succession) {
    const region = Buffer.from(texts.join(JSON_SEPARATOR));
    const header = { ...succession, size: region.length, messages: checksum(region) };
    return replace(context, metadata, header, async (file, offset) => {
      await write_all(file, region, offset);
      return header.messages;
    });
  },

  async extend(context, head, added, metadata, succession) {
    const parts = head.store.size === 0 ? added : [Buffer.alloc(0), ...added];
    const tail = Buffer.concat(parts.flatMap((part, at) => (at === 0 ? [part] : [Buffer.from(JSON_SEPARATOR), part])));
    const header = { ...succession, size: head.store.size + tail.length, messages: "0".repeat(16) };
    return replace(context, metadata, header, async (file, offset) => {
      await write_all(file, tail, offset + head.store.size);
      return copy_checked(context.layer, context.paths.file(".json"), head, tail, async (chunk, position) =>
        write_all(file, chunk, offset + position),
      );
    });
  },
};

/** Writes a new file whose messages `write` puts at an offset, returning their checksum; the head comes last. */
async function replace(
  { layer, policy, paths, lock }: ChangeContext,
  metadata: FileMetadata,
  header: Omit<StoreHeader, "head">,
  write: (file: OpenFile, offset: number) => Promise<string>,
): Promise<WrittenSnapshot> {
  const offset = encode_head(metadata, header).bytes.length;
  let head: SnapshotHead | undefined;
  let stamp: FileStamp | undefined;
  await replace_file(layer, paths.file(".json"), {
    temporary: paths.temporary(lock.token),
    policy,
    write: async (file) => {
      const messages = await write(file, offset);
      await write_all(file, JSON_SUFFIX, offset + header.size);
      const { bytes, store } = encode_head(metadata, { ...header, messages });
      await write_all(file, bytes, 0);
      head = { metadata, store, offset };
      stamp = await file.stat(); // now: once it has its name, others may write to it
    },
    before_rename: () => lock.require_held(),
  });
  return { head: head as unknown as SnapshotHead, stamp: stamp_of(stamp as unknown as FileStamp) };
}
