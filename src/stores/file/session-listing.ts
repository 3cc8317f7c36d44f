import type { SessionMetadata } from "../../types.js";
import { with_file } from "./durable-files.js";
import { is_errno, read_range, type FileLayer, type FileStamp } from "./file-layer.js";
import { scan_metadata } from "./foreign-head.js";
import { apply_patch, decode_last_record, type RecordHead } from "./journal.js";
import type { SessionPaths } from "./session-paths.js";
import { HEAD_BYTES, open_if_there, read_session } from "./session-reader.js";
import { complete_metadata } from "./session-view.js";
import { corrupt, decode_head, expected_size, type FileMetadata } from "./snapshot.js";

const TAIL_BYTES = 4096;

/**
 * A session's metadata from the head of its snapshot and the end of its journal; all of it is read only where these
 * do not suffice. `undefined`: it is gone. One that cannot be read is returned with `damaged`.
 */
export async function list_session(
  layer: FileLayer,
  paths: SessionPaths,
  has_journal: boolean,
): Promise<SessionMetadata | undefined> {
  try {
    const last = has_journal ? await read_last_record(layer, paths.journal) : undefined;
    const listed = last === "unclear" ? undefined : await list_from_head(layer, paths, last);
    return listed ?? (await read_session(layer, paths))?.state.metadata;
  } catch (error) {
    const stamp = await layer.stat(paths.snapshot);
    return stamp && damaged_entry(paths.id, stamp, error);
  }
}

function damaged_entry(id: string, stamp: FileStamp, error: unknown): SessionMetadata {
  const damaged = error instanceof Error ? error.message : String(error);
  return { ...complete_metadata({}, { id, message_count: 0, stamp }), damaged };
}

/** `undefined`: there is no journal any more. `"unclear"`: its end does not say. */
async function read_last_record(layer: FileLayer, path: string): Promise<RecordHead | "unclear" | undefined> {
  const file = await open_if_there(layer, path);
  return (
    file &&
    with_file(file, async () => {
      const { size } = await file.stat();
      for (let length = TAIL_BYTES; ; length *= 4) {
        const begin = Math.max(0, size - length);
        const record = decode_last_record(await read_range(file, begin, size - begin));
        if (record !== undefined || begin === 0 || length > 16 * TAIL_BYTES) {
          return record ?? "unclear";
        }
      }
    })
  );
}

/** `undefined`: head and record do not suffice. */
async function list_from_head(
  layer: FileLayer,
  paths: SessionPaths,
  last: RecordHead | undefined,
): Promise<SessionMetadata | undefined> {
  const file = await open_if_there(layer, paths.snapshot);
  return (
    file &&
    with_file(file, async () => {
      const stamp = await file.stat();
      if (stamp.kind !== "file") {
        throw corrupt(paths.snapshot, "it is not a regular file");
      }
      for (let length = HEAD_BYTES; ; length *= 4) {
        const bytes = await read_range(file, 0, Math.min(length, stamp.size));
        const whole = bytes.length >= stamp.size;
        const head = decode_head(bytes, whole, paths.snapshot);
        if (head === undefined) {
          const scanned = last === undefined ? scan_metadata(bytes) : undefined;
          if (scanned !== "incomplete" || whole) {
            return scanned === "incomplete" || scanned === undefined
              ? undefined
              : list_foreign(paths.id, stamp, scanned);
          }
        } else if (head !== "incomplete") {
          if (stamp.size !== expected_size(head)) {
            throw corrupt(paths.snapshot, `it has ${stamp.size} bytes where ${expected_size(head)} were written`);
          }
          const { metadata, store } = head;
          const stored_count = metadata.message_count ?? 0;
          if (last === undefined || (last.base === store.previous && last.n <= store.folded)) {
            return complete_metadata(metadata, { id: paths.id, message_count: stored_count, stamp });
          }
          if (last.base !== store.generation) {
            return undefined;
          }
          const message_count = last.at + last.count;
          return complete_metadata(apply_patch(metadata, last.metadata), { id: paths.id, message_count, stamp });
        }
      }
    })
  );
}

function list_foreign(id: string, stamp: FileStamp, metadata: FileMetadata): SessionMetadata | undefined {
  const { message_count } = metadata;
  return Number.isSafeInteger(message_count) && (message_count as number) >= 0
    ? complete_metadata(metadata, { id, message_count: message_count as number, stamp })
    : undefined;
}

/** The ids in a directory and which of them have a journal. */
export async function session_names(
  layer: FileLayer,
  root: string,
): Promise<{ names: string[]; journals: ReadonlySet<string> }> {
  try {
    const all = await layer.names(root);
    return { names: all, journals: new Set(all.filter((name) => name.endsWith(".journal"))) };
  } catch (error) {
    if (is_errno(error, "ENOENT")) {
      return { names: [], journals: new Set() };
    }
    throw error;
  }
}
