import type { SessionMetadata } from "../../../types.js";
import { apply_patch } from "../../../metadata.js";
import { encode_line, make_patch, type JournalRecord } from "./journal.js";
import { JSON_SEPARATOR } from "./json-text.js";
import type { JournalState } from "../session-view.js";
import type { SnapshotHead } from "../snapshots/snapshot-form.js";

type UnwrittenState = Omit<JournalState, "stamp">;

/** Bytes for a journal, and what it is like when they are written. */
export interface EncodedJournal {
  bytes: Buffer;
  state: UnwrittenState;
}

interface Change {
  /** How many messages the session had before, and how many are added. */
  at: number;
  count: number;
  revision: string;
  /** All of the metadata, after it. */
  metadata: SessionMetadata;
  durable: boolean;
}

/** The beginning of a journal that continues this snapshot. */
export function begin_journal({ store }: SnapshotHead): EncodedJournal {
  const base = store.generation;
  const { bytes, sum } = encode_line(Buffer.alloc(0), { journal: 1, base, messages: store.messages });
  return { bytes, state: { base, sum, end: bytes.length, records: 0, size: 0, changed: [], relation: "continues" } };
}

/** The next record of a journal of this snapshot; `messages` as they stand in one. */
export function encode_next(
  head: SnapshotHead,
  journal: UnwrittenState,
  messages: Buffer,
  { metadata, durable, ...change }: Change,
): EncodedJournal {
  const base = head.store.generation;
  const patch = make_patch(head.metadata, metadata, journal.changed);
  const n = journal.records + 1;
  const { bytes, sum } = encode_line(messages, {
    n,
    base,
    prev: journal.sum,
    ...change,
    metadata: patch,
    ...(!durable && { durable: false }),
  });
  const size = journal.size + (change.count > 0 ? JSON_SEPARATOR.length + messages.length : 0);
  const end = journal.end + bytes.length;
  return { bytes, state: { base, sum, end, records: n, size, changed: Object.keys(patch), relation: "continues" } };
}

/** A journal that continues this snapshot, with records of the journal of the one before. */
export function encode_journal(
  head: SnapshotHead,
  records: readonly JournalRecord[],
  durable: boolean,
): EncodedJournal {
  let { bytes, state } = begin_journal(head);
  const parts = [bytes];
  for (const { body, at, count, revision, metadata: patch } of records) {
    const metadata = apply_patch(head.metadata, patch) as SessionMetadata;
    ({ bytes, state } = encode_next(head, state, body, { at, count, revision, metadata, durable }));
    parts.push(bytes);
  }
  return { bytes: Buffer.concat(parts), state };
}
