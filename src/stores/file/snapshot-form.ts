import type { Message } from "@simulacra-ai/core";
import type { MetadataPatch } from "../../metadata.js";
import type { FileLayer, FileStamp } from "./file-layer.js";
import { join_messages } from "./journal.js";
import { JSON_SEPARATOR } from "./json-text.js";
import type { Placing } from "./prepared-file.js";
import type { SessionLock } from "./session-lock.js";
import type { FilePolicy } from "./durable-files.js";
import type { SessionPaths } from "./session-paths.js";

/** How the snapshots of new sessions are laid out. */
export type FileSessionFormat = "json" | "ndjson";

/** What the store notes of a snapshot, in the file itself. A writer that knows nothing of it drops it. */
export interface StoreHeader {
  version: 1;
  generation: string;
  /** The generation that this one replaced; its journal is done with, as far as `folded` says. */
  previous: string | null;
  /** How many records of the journal of `previous` are in here. */
  folded: number;
  /** The revision of the messages in here. */
  revision: string;
  /** Bytes from the first message to the last. */
  size: number;
  /** Checksum of these bytes. */
  messages: string;
  /** Checksum of the metadata's JSON text and of this header's, up to here. */
  head: string;
}

/** What the writer of a snapshot decides of its header; the form knows the rest. */
export type Succession = Pick<StoreHeader, "version" | "generation" | "previous" | "folded" | "revision">;

/** What a file says of its session; `id`, dates and count may be missing or wrong. */
export type FileMetadata = MetadataPatch;

export interface SnapshotHead {
  metadata: FileMetadata;
  store: StoreHeader;
  /** Where the first message begins. */
  offset: number;
}

/** The files of a snapshot as they were: equal keys, equal files. */
export interface SnapshotStamp {
  key: string;
  /** Bytes of the file with the messages. */
  size: number;
  mtime_ns: bigint;
}

/** What the head of a snapshot says; without `head` another writer made it, and `metadata` may be unknown. */
export interface ReadHead {
  stamp: SnapshotStamp;
  head: SnapshotHead | undefined;
  metadata: FileMetadata | undefined;
}

export interface ReadSnapshot extends ReadHead {
  metadata: FileMetadata;
  messages: Message[];
}

/** What a change of a session's files needs. */
export interface ChangeContext {
  layer: FileLayer;
  policy: FilePolicy;
  paths: SessionPaths;
  lock: SessionLock;
}

/** What it needs to write files that nobody reads yet; `token` names them. */
export type PrepareContext = Omit<ChangeContext, "lock"> & { token: string };

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
  /** Resolves when this is the time to write the next piece: what somebody waits for goes first. */
  others_first?: () => Promise<void>;
}

/** A snapshot that is written, and synced, but not the session's yet. */
export interface PreparedSnapshot {
  head: SnapshotHead;
  /**
   * Replaces the session's snapshot, in one step. Nothing is left of it where that fails, or `before_rename` does. Who
   * does something beside it syncs the directory once more after it.
   */
  put_in_place(lock: SessionLock, placing: Placing): Promise<SnapshotStamp>;
  discard(): Promise<void>;
}

/** One layout of snapshots: everything in which the formats differ. */
export interface SnapshotForm {
  readonly format: FileSessionFormat;
  /** The file without which there is no session, and how its name ends. */
  readonly head_ending: string;
  head_path(paths: SessionPaths): string;
  /** The file with the messages, to which forks are linked. */
  data_path(paths: SessionPaths): string;
  /** The ending of that file. */
  readonly data_ending: string;
  /** All files, in the order in which they are removed. */
  file_paths(paths: SessionPaths): string[];
  /** `undefined`: there is no such session in this form. */
  stamp(layer: FileLayer, paths: SessionPaths): Promise<SnapshotStamp | undefined>;
  /** The same at once; `undefined` where that is to be asked. */
  stamp_now(layer: FileLayer, paths: SessionPaths): SnapshotStamp | undefined;
  /** What `read_head` returns, at once; `undefined` where that is to be asked. @throws {SessionError} `corrupt`. */
  read_head_now(layer: FileLayer, paths: SessionPaths): ReadHead | undefined;
  /** Reads no more than the head. @throws {SessionError} `corrupt`. */
  read_head(layer: FileLayer, paths: SessionPaths): Promise<ReadHead | undefined>;
  /** Reads and checks everything. @throws {SessionError} `corrupt`. */
  read(layer: FileLayer, paths: SessionPaths): Promise<ReadSnapshot | undefined>;
  /** The checksum that a snapshot with these messages carries, each a JSON text. */
  checksum(texts: readonly string[]): string;
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
  const added = texts.length === 0 ? [] : [join_messages(texts)];
  return {
    kept: undefined,
    added,
    added_size: added.reduce((sum, { length }) => sum + JSON_SEPARATOR.length + length, 0),
  };
}

export function stamp_of(...files: FileStamp[]): SnapshotStamp {
  const newest = files.reduce((a, b) => (a.mtime_ns > b.mtime_ns ? a : b));
  return {
    key: files.map(({ inode, size, mtime_ns }) => `${inode}.${size}.${mtime_ns}`).join("/"),
    size: files.at(-1)?.size ?? 0,
    mtime_ns: newest.mtime_ns,
  };
}
