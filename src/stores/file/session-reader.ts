import { constants } from "node:buffer";
import type { Message } from "@simulacra-ai/core";
import { has_code } from "../../errors.js";
import { with_file } from "./durable-files.js";
import { is_errno, read_range, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";
import { decode_journal, type Journal } from "./journal.js";
import type { SessionPaths } from "./session-paths.js";
import {
  complete_metadata,
  merge_foreign,
  messages_of,
  patched,
  relate,
  type JournalState,
  type Relation,
  type SessionView,
} from "./session-view.js";
import {
  corrupt,
  decode_head,
  decode_snapshot,
  expected_size,
  messages_checksum,
  type Snapshot,
  type SnapshotHead,
} from "./snapshot.js";

export const HEAD_BYTES = 4096;
const ATTEMPTS = 50;
/** A writer that rewrites in place is given so long to finish before its file counts as damaged. */
const SETTLE_MS = 10;

interface ReadFile {
  stamp: FileStamp;
  bytes: Buffer;
}

/**
 * Reads a session without a lock: the journal first, then the snapshot, again where the two do not belong together
 * and one of them has moved meanwhile. `undefined`: there is no such session.
 * @throws {SessionError} `corrupt`.
 */
export async function read_session(layer: FileLayer, paths: SessionPaths): Promise<SessionView | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const journal = await read_file(layer, paths.journal);
    const snapshot = await read_file(layer, paths.snapshot);
    if (snapshot === undefined) {
      return undefined;
    }
    const is_still = async () =>
      same_stamp(await layer.stat(paths.snapshot), snapshot.stamp) &&
      (await layer.stat(paths.journal))?.inode === journal?.stamp.inode;
    try {
      const view = combine(paths, snapshot, journal);
      if (view.state.journal?.relation !== "foreign" || attempt === ATTEMPTS || (await is_still())) {
        return view;
      }
    } catch (error) {
      if (!has_code(error, "corrupt") || attempt === ATTEMPTS) {
        throw error;
      }
      if (await is_still()) {
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
        if (await is_still()) {
          throw error;
        }
      }
    }
  }
}

function combine(paths: SessionPaths, file: ReadFile, journal_file: ReadFile | undefined): SessionView {
  const snapshot = decode_snapshot(file.bytes, paths.snapshot);
  const journal = journal_file && parse_journal(journal_file, paths.journal);
  return snapshot.head === undefined
    ? combine_foreign(paths, file, snapshot, journal)
    : combine_own(paths, { stamp: file.stamp, head: snapshot.head, messages: snapshot.messages }, journal);
}

interface JournalFile {
  stamp: FileStamp;
  journal: Journal;
}

function parse_journal(file: ReadFile, path: string): JournalFile {
  const journal = decode_journal(file.bytes);
  if (journal.damage !== undefined) {
    throw corrupt(path, journal.damage);
  }
  return { stamp: file.stamp, journal };
}

function combine_own(
  paths: SessionPaths,
  { stamp, head, messages }: { stamp: FileStamp; head: SnapshotHead; messages: Message[] | undefined },
  file: JournalFile | undefined,
): SessionView {
  const stored_count = messages?.length ?? head.metadata.message_count ?? 0;
  const { relation, records } = file
    ? relate(head.store, stored_count, file.journal)
    : { relation: "spent" as const, records: [] };
  const last = records.at(-1);
  const message_count = last ? last.at + last.count : stored_count;
  return {
    state: {
      stamp,
      head,
      journal: file && journal_state(file, relation),
      metadata: complete_metadata(patched(head.metadata, records), { id: paths.id, message_count, stamp }),
      revision: last?.revision ?? head.store.revision,
    },
    records,
    messages: messages && (last ? messages.concat(messages_of(records)) : messages),
  };
}

function combine_foreign(
  paths: SessionPaths,
  { stamp }: ReadFile,
  snapshot: Snapshot,
  file: JournalFile | undefined,
): SessionView {
  const merged = file && merge_foreign(snapshot.messages, file.journal);
  const messages = merged?.messages ?? snapshot.messages;
  const last = merged?.records.at(-1);
  const relation = merged || file?.journal.records.length === 0 ? "spent" : "foreign";
  const metadata = patched(snapshot.metadata, merged?.records ?? []);
  return {
    state: {
      stamp,
      head: undefined,
      journal: file && journal_state(file, relation),
      metadata: complete_metadata(metadata, { id: paths.id, message_count: messages.length, stamp }),
      revision: merged?.is_ours && last ? last.revision : `f${messages_checksum(messages)}`,
    },
    records: [],
    messages,
  };
}

function journal_state({ stamp, journal }: JournalFile, relation: Relation): JournalState {
  const { header, sum, end, records } = journal;
  return { stamp, base: header?.base, sum, end, records: records.length, relation };
}

/**
 * What a writer, who holds the lock, needs of a session: of a snapshot of ours only the head. `undefined`: there is
 * no such session.
 * @throws {SessionError} `corrupt`.
 */
export async function read_state(layer: FileLayer, paths: SessionPaths): Promise<SessionView | undefined> {
  const snapshot = await read_snapshot_head(layer, paths.snapshot);
  if (snapshot === undefined) {
    return undefined;
  }
  const { stamp, head } = snapshot;
  if (head === undefined) {
    return read_session(layer, paths);
  }
  const file = await read_file(layer, paths.journal);
  return combine_own(paths, { stamp, head, messages: undefined }, file && parse_journal(file, paths.journal));
}

/** `head` is `undefined` for a file that is none of ours; the file itself is `undefined` where there is none. */
export async function read_snapshot_head(
  layer: FileLayer,
  path: string,
): Promise<{ stamp: FileStamp; head: SnapshotHead | undefined } | undefined> {
  const file = await open_if_there(layer, path);
  return (
    file &&
    with_file(file, async () => {
      const stamp = await require_regular(file, path);
      for (let length = HEAD_BYTES; ; length *= 4) {
        const bytes = await read_range(file, 0, Math.min(length, stamp.size));
        const head = decode_head(bytes, bytes.length >= stamp.size, path);
        if (head === undefined) {
          return { stamp, head };
        }
        if (head !== "incomplete") {
          if (stamp.size !== expected_size(head)) {
            throw corrupt(path, `it has ${stamp.size} bytes where ${expected_size(head)} were written`);
          }
          return { stamp, head };
        }
      }
    })
  );
}

/** A whole file; `undefined` where there is none. What cannot be JSON is not read to its end. */
export async function read_file(layer: FileLayer, path: string): Promise<ReadFile | undefined> {
  const file = await open_if_there(layer, path);
  return (
    file &&
    with_file(file, async () => {
      const stamp = await require_regular(file, path);
      if (stamp.size > constants.MAX_STRING_LENGTH) {
        throw corrupt(path, `it has ${stamp.size} bytes, more than can be read`);
      }
      return { stamp, bytes: await read_range(file, 0, stamp.size) };
    })
  );
}

export async function open_if_there(layer: FileLayer, path: string): Promise<OpenFile | undefined> {
  try {
    return await layer.open(path, "read");
  } catch (error) {
    if (is_errno(error, "ENOENT")) {
      return undefined;
    }
    if (is_errno(error, "ELOOP", "EMLINK")) {
      throw corrupt(path, "it is a symbolic link", error);
    }
    throw error;
  }
}

async function require_regular(file: OpenFile, path: string): Promise<FileStamp> {
  const stamp = await file.stat();
  if (stamp.kind !== "file") {
    throw corrupt(path, "it is not a regular file");
  }
  return stamp;
}

export function same_stamp(a: FileStamp | undefined, b: FileStamp | undefined): boolean {
  return a?.inode === b?.inode && a?.size === b?.size && a?.mtime_ns === b?.mtime_ns;
}
