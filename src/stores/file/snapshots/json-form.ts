import { write_all } from "../fs/file-layer.js";
import { scan_metadata } from "../format/foreign-head.js";
import {
  decode_foreign,
  decode_head,
  decode_messages,
  encode_head,
  JSON_SEPARATOR,
  JSON_SUFFIX,
  require_size,
} from "../format/json-text.js";
import { write_messages } from "./message-region.js";
import { PreparedFile } from "../fs/prepared-file.js";
import { read_beginning, read_file, type ReadFile } from "../fs/regular-file.js";
import { stamp_of, type ReadHead, type SnapshotForm } from "./snapshot-form.js";
import { type SnapshotHead } from "../format/snapshot-header.js";

/** Usually enough for the head. */
const HEAD_BYTES = 1024;

/** One file: metadata, the store's header and the messages in one JSON object. */
export const JSON_FORM: SnapshotForm = {
  format: "json",
  head_ending: ".json",
  data_ending: ".json",
  endings: [".json"],
  separator: JSON_SEPARATOR,

  async read_head(layer, paths) {
    const path = paths.file(".json");
    for (let length = HEAD_BYTES; ; length *= 4) {
      const beginning = await read_beginning(layer, path, length);
      if (beginning === undefined) {
        return undefined;
      }
      const read = head_in(beginning, path);
      if (read !== "incomplete") {
        return read;
      }
    }
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

  recover: () => Promise.resolve(),

  async prepare(context, content, metadata, succession) {
    const path = context.paths.file(".json");
    const kept_size = content.kept?.store.size ?? 0;
    const is_first = kept_size === 0;
    const size = kept_size + Math.max(0, content.added_size - (is_first ? JSON_SEPARATOR.length : 0));
    const header = { ...succession, size, messages: "0".repeat(16) };
    const offset = encode_head(metadata, header).bytes.length;
    let head: SnapshotHead | undefined;
    const file = await PreparedFile.write(context, path, async (file) => {
      const written = await write_messages(file, offset, content, { context, path, separator: JSON_SEPARATOR });
      await write_all(file, JSON_SUFFIX, offset + size);
      const { bytes, store } = encode_head(metadata, { ...header, messages: written.checksum });
      await write_all(file, bytes, 0);
      head = { metadata, store, offset };
    });
    return {
      head: head as unknown as SnapshotHead,
      async put_in_place(lock, placing) {
        await file.put_in_place(lock, path, placing);
        return stamp_of(file.stamp);
      },
      discard: () => file.discard(),
    };
  },
};

/** Reads the head in the first bytes of a file. `"incomplete"`: more bytes are needed. @throws {SessionError} `corrupt`. */
function head_in({ stamp: file, bytes }: ReadFile, path: string): ReadHead | "incomplete" {
  const stamp = stamp_of(file);
  const whole = bytes.length >= file.size;
  const head = decode_head(bytes, whole, path);
  if (head !== undefined && head !== "incomplete") {
    require_size(file.size, head, path);
    return { stamp, head, metadata: head.metadata };
  }
  const scanned = head === undefined ? scan_metadata(bytes) : head;
  if (scanned === "incomplete" && !whole) {
    return scanned;
  }
  return { stamp, head: undefined, metadata: scanned === "incomplete" ? undefined : scanned };
}
