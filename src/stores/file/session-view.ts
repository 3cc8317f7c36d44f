import type { Message } from "@simulacra-ai/core";
import { apply_patch, complete_metadata, type MetadataPatch } from "../../metadata.js";
import type { SessionMetadata } from "../../types.js";
import { sum_of_messages } from "./format/checksum.js";
import type { FileStamp } from "./fs/file-layer.js";
import { type Journal, type JournalRecord } from "./format/journal.js";
import { JSON_SEPARATOR } from "./format/json-text.js";
import type { SessionPaths } from "./session-paths.js";
import type { SnapshotForm, SnapshotHead, SnapshotStamp, StoreHeader } from "./snapshots/snapshot-form.js";

/**
 * How a journal relates to the snapshot beside it: it goes on from there, all of it is in there (or it holds
 * nothing), or another writer replaced the snapshot.
 */
export type Relation = "continues" | "spent" | "foreign";

/** The facts about a journal that a writer needs to append. */
export interface JournalState {
  stamp: FileStamp;
  base: string | undefined;
  /** The checksum of its last whole line. */
  sum: string;
  /** Where that ends. */
  end: number;
  /** How many records there are. */
  records: number;
  /** Bytes of their messages, as they are in a snapshot, a separator before each record's. */
  size: number;
  /** The metadata that any of them has changed. */
  changed: readonly string[];
  relation: Relation;
}

/** The facts about a session that a writer needs. They are small, so that the store can remember them. */
export interface SessionState {
  form: SnapshotForm;
  /** Of the snapshot. */
  stamp: SnapshotStamp;
  /** `undefined`: another writer made the snapshot. */
  head: SnapshotHead | undefined;
  journal: JournalState | undefined;
  metadata: SessionMetadata;
  revision: string;
}

/** A session as its snapshot and journal say together. */
export interface SessionView {
  state: SessionState;
  /** The records that go on from the snapshot. */
  records: JournalRecord[];
  /** Known where all was read; always for a snapshot that another writer made. */
  messages: Message[] | undefined;
}

/** How a journal relates to a snapshot of ours, and which of its records go on from there. */
export function relate(
  store: StoreHeader,
  message_count: number,
  journal: Journal,
): { relation: Relation; records: JournalRecord[] } {
  const base = journal.header?.base;
  const done = base === store.generation ? 0 : base === store.previous ? store.folded : undefined;
  if (base === undefined) {
    return { relation: "spent", records: [] };
  }
  if (done === undefined) {
    return { relation: journal.records.length === 0 ? "spent" : "foreign", records: [] };
  }
  const records = journal.records.slice(done);
  const [next] = records;
  if (next === undefined) {
    return { relation: base === store.generation ? "continues" : "spent", records };
  }
  return next.at === message_count ? { relation: "continues", records } : { relation: "foreign", records: [] };
}

/** Bytes that the messages of these records add to a snapshot, with a separator before each record's. */
export function size_of(records: readonly JournalRecord[]): number {
  return records.reduce((sum, { count, body }) => sum + (count > 0 ? JSON_SEPARATOR.length + body.length : 0), 0);
}

/** The messages of records, parsed. */
export function messages_of(records: readonly JournalRecord[]): Message[] {
  return records.flatMap((record) =>
    record.count === 0 ? [] : (JSON.parse(`[${record.body.toString()}]`) as Message[]),
  );
}

/**
 * What another writer's snapshot and our journal come to. The journal's messages are taken over where they continue
 * that snapshot, or it continues them; otherwise both stand apart.
 */
export function merge_foreign(
  form: SnapshotForm,
  messages: Message[],
  journal: Journal,
): { messages: Message[]; records: JournalRecord[]; is_ours: boolean } | undefined {
  const [first] = journal.records;
  const at = first?.at ?? messages.length;
  const sum = (of: Message[]) => sum_of_messages(of, form.separator);
  if (journal.header === undefined || sum(messages.slice(0, at)) !== journal.header.messages) {
    return undefined;
  }
  const theirs = messages.slice(at);
  const ours = messages_of(journal.records);
  const length = Math.min(theirs.length, ours.length);
  if (sum(theirs.slice(0, length)) !== sum(ours.slice(0, length))) {
    return undefined;
  }
  const merged = messages.concat(ours.slice(length));
  return { messages: merged, records: journal.records, is_ours: theirs.length <= ours.length };
}

/** Metadata with all that the contract requires; where a file says no dates, its own counts. */
export function metadata_of_file(
  { id }: SessionPaths,
  { mtime_ns }: { mtime_ns: bigint },
  metadata: MetadataPatch,
  message_count: number,
): SessionMetadata {
  const date = () => new Date(Number(mtime_ns / 1_000_000n)).toISOString();
  return complete_metadata(metadata, { id, message_count, date });
}

/** The metadata after the last of these records. */
export function patched(metadata: MetadataPatch, records: readonly JournalRecord[]): MetadataPatch {
  const last = records.at(-1);
  return last === undefined ? metadata : apply_patch(metadata, last.metadata);
}
