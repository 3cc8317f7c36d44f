import type { Message } from "@simulacra-ai/core";
import type { FileMetadata, FileSessionFormat, SnapshotHead, Succession } from "../format/snapshot-header.js";
import type { FileLayer, FileStamp } from "../fs/file-layer.js";
import { join_messages } from "../format/journal.js";
import { JSON_SEPARATOR } from "../format/json-text.js";
import type { SessionLock } from "../lock/session-lock.js";
import type { FilePolicy } from "../fs/durable-files.js";
import type { SessionPaths } from "../session-paths.js";

/** The files of a snapshot as they were: equal keys, equal files. */
export interface SnapshotStamp {
  key: string;
  /** Bytes of the file with the messages. */
  size: number;
  mtime_ns: bigint;
}

/** The head of a snapshot. Without `head` another writer made the snapshot, and `metadata` may be unknown. */
export interface ReadHead {
  stamp: SnapshotStamp;
  head: SnapshotHead | undefined;
  metadata: FileMetadata | undefined;
}

export interface ReadSnapshot extends ReadHead {
  metadata: FileMetadata;
  messages: Message[];
  /** Another program may be in the middle of writing: the files do not agree. */
  is_unsettled?: boolean;
}

/** Holds what a writer of temporary files needs. The `token` names the files. */
export interface PrepareContext {
  layer: FileLayer;
  policy: FilePolicy;
  paths: SessionPaths;
  token: string;
}

/** Holds what a change of a session needs. The token is that of the lock. */
export interface ChangeContext extends PrepareContext {
  lock: SessionLock;
}

/** The messages of a snapshot to be. */
export interface SnapshotContent {
  /** The snapshot whose messages come first: they are copied as they are, and checked. */
  kept: SnapshotHead | undefined;
  /** Those behind them, in pieces as they stand in a journal. */
  added: Iterable<Buffer> | AsyncIterable<Buffer>;
  /** Bytes of these as JSON, a separator before each piece. */
  added_size: number;
  /** Stops the writing. */
  signal?: AbortSignal;
}

/** A snapshot that is written, and synced, but not the session's yet. */
export interface PreparedSnapshot {
  head: SnapshotHead;
  /**
   * Replaces the session's snapshot, in one step. Nothing is left of this one if that fails, or if `before_rename` does,
   * which runs right before each rename.
   */
  put_in_place(lock: SessionLock, before_rename: () => Promise<void>): Promise<SnapshotStamp>;
  discard(): Promise<void>;
}

/** One layout of snapshots: everything in which the formats differ. */
export interface SnapshotForm {
  readonly format: FileSessionFormat;
  /** The ending of the file without which there is no session. */
  readonly head_ending: string;
  /** The ending of the file with the messages, to which forks are linked. */
  readonly data_ending: string;
  /** The endings of all files, in the order in which the files are removed. */
  readonly endings: readonly string[];
  /** The text between two messages. */
  readonly separator: string;
  /** Reads no more than the head. @throws {SessionError} `corrupt`. */
  read_head(layer: FileLayer, paths: SessionPaths): Promise<ReadHead | undefined>;
  /** Checks the metadata in the first bytes of a head. @throws {SessionError} `corrupt` if they are not what was written. */
  check_head(bytes: Buffer, path: string): void;
  /** Reads and checks everything. @throws {SessionError} `corrupt`. */
  read(layer: FileLayer, paths: SessionPaths): Promise<ReadSnapshot | undefined>;
  /** Completes what a killed writer has begun and decided. */
  recover(context: ChangeContext): Promise<void>;
  /** Writes a snapshot under a temporary name; needs no lock. Nothing is parsed. @throws {SessionError} `corrupt`. */
  prepare(
    context: PrepareContext,
    content: SnapshotContent,
    metadata: FileMetadata,
    succession: Succession,
  ): Promise<PreparedSnapshot>;
}

/** Messages, each a JSON text, as a snapshot of their own. */
export function content_of(texts: readonly string[]): SnapshotContent {
  const added = [...join_messages(texts)];
  return {
    kept: undefined,
    added,
    added_size: added.reduce((sum, { length }) => sum + JSON_SEPARATOR.length + length, 0),
  };
}

/** Looks at the files of a snapshot. Returns `undefined` if there is no such session in this form. */
export async function stamp_snapshot(
  layer: FileLayer,
  paths: SessionPaths,
  { head_ending, data_ending }: SnapshotForm,
): Promise<SnapshotStamp | undefined> {
  const head = await layer.stat(paths.file(head_ending));
  const data = head && data_ending !== head_ending ? await layer.stat(paths.file(data_ending)) : undefined;
  return head && stamp_of(head, data);
}

export function stamp_of(head: FileStamp, data?: FileStamp): SnapshotStamp {
  const files = data ? [head, data] : [head];
  return {
    key: files.map(({ inode, size, mtime_ns }) => `${inode}.${size}.${mtime_ns}`).join("/"),
    size: (data ?? head).size,
    mtime_ns: data && data.mtime_ns > head.mtime_ns ? data.mtime_ns : head.mtime_ns,
  };
}
