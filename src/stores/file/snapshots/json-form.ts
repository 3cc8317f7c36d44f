import { pauses } from "../../../async/time-slicer.js";
import { wrong_messages } from "../format/corrupt.js";
import {
  decode_foreign,
  decode_head,
  encode_head,
  JSON_SEPARATOR,
  JSON_SUFFIX,
  require_size,
  scan_metadata,
} from "../format/json-text.js";
import type { SnapshotHead } from "../format/snapshot-header.js";
import { read_range, write_all } from "../fs/file-layer.js";
import { PreparedFile } from "../fs/prepared-file.js";
import { read_all, read_beginning, read_regular, type ReadFile } from "../fs/regular-file.js";
import { read_messages, write_messages } from "./message-region.js";
import { stamp_of, type ReadHead, type SnapshotForm } from "./snapshot-form.js";

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
    return from_beginning(
      (length) => read_beginning(layer, path, length),
      (beginning) => head_in(beginning, path),
    );
  },

  check_head(bytes, path) {
    decode_head(bytes, false, path);
  },

  async read(layer, paths) {
    const path = paths.file(".json");
    return read_regular(layer, path, async (file, found) => {
      const pause = pauses();
      const stamp = stamp_of(found);
      const head = await from_beginning(
        async (length) => ({ stamp: found, bytes: await read_range(file, 0, Math.min(length, found.size)) }),
        ({ bytes }) => decode_head(bytes, bytes.length >= found.size, path),
      );
      if (!head) {
        const bytes = await read_all(file, found, path);
        return { stamp, head, ...(await decode_foreign(bytes, path, pause)) };
      }
      require_size(found.size, head, path);
      const messages = await read_messages(file, head, path, pause);
      const suffix = await read_range(file, head.offset + head.store.size, JSON_SUFFIX.length);
      if (!messages || !JSON_SUFFIX.subarray(0, suffix.length).equals(suffix)) {
        throw wrong_messages(path);
      }
      return { stamp, head, metadata: head.metadata, messages };
    });
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
      async put_in_place(lock, before_rename) {
        await file.put_in_place(lock, path, before_rename);
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

/** Decodes the beginning of a file, of which more is read until that is enough. Returns `undefined` if there is no file. */
async function from_beginning<T>(
  read: (length: number) => Promise<ReadFile | undefined>,
  decode: (beginning: ReadFile) => T | "incomplete",
): Promise<T | undefined> {
  for (let length = HEAD_BYTES; ; length *= 4) {
    const beginning = await read(length);
    const found = beginning && decode(beginning);
    if (found !== "incomplete") {
      return found;
    }
  }
}
