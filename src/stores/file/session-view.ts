import type { Message } from "@simulacra-ai/core";
import type { Pause } from "../../async/time-slicer.js";
import { complete_metadata, type MetadataPatch } from "../../metadata.js";
import type { SessionMetadata } from "../../types.js";
import { sum_of_messages } from "./format/checksum.js";
import type { FileStamp } from "./fs/file-layer.js";
import { messages_of, type Journal, type JournalEnd, type JournalEntry } from "./format/journal.js";
import type { SessionPaths } from "./session-paths.js";
import type { SnapshotForm, SnapshotStamp } from "./snapshots/snapshot-form.js";
import type { SnapshotHead } from "./format/snapshot-header.js";

/** The facts about a journal that a writer needs to append. */
export interface JournalState extends JournalEnd {
  stamp: FileStamp;
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
  records: JournalEntry[];
  /** Known where all was read; always for a snapshot that another writer made. */
  messages: Message[] | undefined;
}

/**
 * What another writer's snapshot and our journal come to. The journal's messages are taken over where they continue
 * that snapshot, or it continues them; otherwise both stand apart.
 */
export async function merge_foreign(
  form: SnapshotForm,
  messages: Message[],
  journal: Journal,
  pause: Pause,
): Promise<{ messages: Message[]; records: JournalEntry[]; is_ours: boolean } | undefined> {
  const [first] = journal.records;
  const at = first?.at ?? messages.length;
  const sum = (of: Message[]) => sum_of_messages(of, form.separator, pause);
  if (!journal.header || (await sum(messages.slice(0, at))) !== journal.header.messages) {
    return undefined;
  }
  const theirs = messages.slice(at);
  const ours = messages_of(journal.records);
  const length = Math.min(theirs.length, ours.length);
  if ((await sum(theirs.slice(0, length))) !== (await sum(ours.slice(0, length)))) {
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
