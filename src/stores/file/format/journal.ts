import type { Message } from "@simulacra-ai/core";
import { apply_patch, metadata_difference, type MetadataPatch } from "../../../metadata.js";
import type { SessionMetadata } from "../../../types.js";
import { checksum } from "./checksum.js";
import { parse_object } from "./corrupt.js";
import { JSON_SEPARATOR } from "./json-text.js";
import type { SnapshotHead, StoreHeader } from "./snapshot-header.js";

/** The first line of a journal: what it continues. */
export interface JournalHeader {
  journal: 1;
  /** The generation of the snapshot. */
  base: string;
  /** The checksum of the snapshot's messages. */
  messages: string;
}

/** The line that ends a record; the messages stand before it. */
export interface RecordHead {
  /** Counts the records of this journal from 1. */
  n: number;
  base: string;
  /** The checksum of the line before. */
  prev: string;
  /** How many messages the session had before. */
  at: number;
  /** How many messages this record adds. */
  count: number;
  /** The revision of the messages after it. */
  revision: string;
  /** The metadata that have changed since the snapshot, as they are now. */
  metadata: MetadataPatch;
  /** Absent: the record was synced before it was acknowledged. */
  durable?: false;
}

export interface JournalRecord extends RecordHead {
  sum: string;
  /** The messages as they stand in the file, with separators between them. */
  body: Buffer;
}

export interface Journal {
  /** `undefined`: not even the first line is whole. */
  header: JournalHeader | undefined;
  /** The checksum of the last whole line. */
  sum: string;
  records: JournalRecord[];
  /** Up to here the bytes are whole records; what follows is a torn tail. */
  end: number;
  /** `undefined`: what follows, if anything, is a torn tail. */
  damage: JournalDamage | undefined;
}

/** Bytes that are not what was written, with something behind them. */
export interface JournalDamage {
  reason: string;
  /** The whole records behind them, in whatever order. */
  records: JournalRecord[];
}

/** Marks the line that ends a record; no message begins with it. */
const MARK = "#";
const NEWLINE = 0x0a;
const LINE_END = /* @__PURE__ */ Buffer.from("\n");

/** Encodes a line. `messages`: the JSON texts of the record's messages, with separators between them. */
export function encode_line(messages: Buffer, head: JournalHeader | RecordHead): { bytes: Buffer; sum: string } {
  const body = messages.length === 0 ? messages : Buffer.concat([messages, LINE_END]);
  const json = JSON.stringify(head);
  const sum = checksum(body, json);
  return { bytes: Buffer.concat([body, Buffer.from(`${MARK}${sum} ${body.length} ${json}\n`)]), sum };
}

export function join_messages(texts: readonly string[]): Buffer {
  return Buffer.from(texts.join(JSON_SEPARATOR));
}

/** A whole line and the messages before it. */
export interface Line {
  sum: string;
  head: unknown;
  body: Buffer;
  /** From the first byte of the body to behind the line. */
  begin: number;
  end: number;
}

/** In a message's text every quote is escaped, so that no text looks like this. */
const HEAD_OF_LINE = /^#([0-9a-f]{16}) (\d{1,15}) (?=\{"(?:n|journal)":)/;

/** The record whose marked line begins at `mark`, if its checksum is right. */
function decode_line(bytes: Buffer, mark: number): Line | undefined {
  const match = HEAD_OF_LINE.exec(bytes.toString("latin1", mark, mark + 48));
  const newline = match === null ? -1 : bytes.indexOf(NEWLINE, mark); // a text may hold any number of marks
  if (match === null || newline < 0) {
    return undefined;
  }
  const [prefix, sum, length] = match as unknown as [string, string, string];
  const begin = mark - Number(length);
  const json = bytes.subarray(mark + prefix.length, newline);
  if (begin < 0 || checksum(bytes.subarray(begin, mark), json) !== sum) {
    return undefined;
  }
  const head = parse_object(json); // a message's text may hold a mark, with a right checksum even, but no such object
  return head && { sum, head, body: bytes.subarray(begin, Math.max(begin, mark - 1)), begin, end: newline + 1 };
}

/** Where the next marked line begins, at `from` or after a line break behind it; -1: nowhere. */
function next_mark(bytes: Buffer, from: number): number {
  if (bytes[from] === MARK.charCodeAt(0) && (from === 0 || bytes[from - 1] === NEWLINE)) {
    return from;
  }
  const found = bytes.indexOf(`\n${MARK}`, from);
  return found < 0 ? -1 : found + 1;
}

/** Reads a journal as far as it is whole. */
export function decode_journal(bytes: Buffer): Journal {
  const first = decode_line(bytes, 0);
  const header = first?.head as JournalHeader | undefined;
  if (first === undefined || header?.journal !== 1) {
    return { header: undefined, sum: "", records: [], end: 0, damage: damage_after(bytes, 0) };
  }
  const records: JournalRecord[] = [];
  let { end, sum } = first;
  for (let line = decode_line_at(bytes, end); line !== undefined; line = decode_line_at(bytes, end)) {
    const record = next_record(line, { base: header.base, sum, records: records.length });
    if (record === undefined) {
      break;
    }
    records.push(record);
    ({ end, sum } = line);
  }
  return { header, sum, records, end, damage: damage_after(bytes, end) };
}

/** The line whose messages begin at `begin` and nowhere else. */
export function decode_line_at(bytes: Buffer, begin: number): Line | undefined {
  const mark = next_mark(bytes, begin);
  const line = mark < 0 ? undefined : decode_line(bytes, mark);
  return line?.begin === begin ? line : undefined;
}

/** The record of a line, if it goes on where the journal has got to. */
export function next_record(
  line: Line,
  at: { base: string | undefined; sum: string; records: number },
): JournalRecord | undefined {
  const head = line.head as RecordHead;
  const continues = head.prev === at.sum && head.n === at.records + 1 && head.base === at.base;
  return continues ? { ...head, sum: line.sum, body: line.body } : undefined;
}

/** Invalid bytes are a torn tail, unless a whole record follows them that was synced after they were. */
function damage_after(bytes: Buffer, end: number): JournalDamage | undefined {
  const records: JournalRecord[] = [];
  let reason: string | undefined;
  // Wherever it stands: the line break before it may be what is damaged.
  for (let mark = bytes.indexOf(MARK, end); mark >= 0;) {
    const line = decode_line(bytes, mark);
    if (line !== undefined) {
      const head = line.head as RecordHead;
      records.push({ ...head, sum: line.sum, body: line.body });
      reason ??= head.durable === false ? undefined : `bytes ${end} to ${mark} are not what was written`;
    }
    mark = bytes.indexOf(MARK, line?.end ?? mark + 1);
  }
  return reason === undefined ? undefined : { reason, records };
}

/** True if bytes end as a record does, and none of their blocks is missing. Such bytes were written to the end once. */
export function is_closed_line(tail: Buffer): boolean {
  return tail.at(-1) === NEWLINE && tail.includes(MARK) && !tail.includes(0);
}

/**
 * The last record of a journal, from its last bytes. `undefined`: they do not end in a whole record, or it begins
 * before them.
 */
export function decode_last_record(tail: Buffer): RecordHead | undefined {
  if (tail.at(-1) !== NEWLINE) {
    return undefined;
  }
  const mark = tail.lastIndexOf(`\n${MARK}`, tail.length - 2) + 1;
  const head = decode_line(tail, mark)?.head as RecordHead | undefined;
  return head !== undefined && "n" in head ? head : undefined;
}

/**
 * In what metadata differ from the snapshot's. What an earlier record of the journal changed is in here even where it
 * is as before by now: so the patch holds for a snapshot too that has taken that record in.
 */
export function make_patch(
  snapshot: MetadataPatch,
  metadata: SessionMetadata,
  changed_before: readonly string[],
): MetadataPatch {
  const patch = new Map<string, unknown>(Object.entries(metadata_difference(snapshot as SessionMetadata, metadata)));
  const values = new Map<string, unknown>(Object.entries(metadata));
  for (const key of changed_before) {
    patch.set(key, patch.get(key) ?? values.get(key) ?? null);
  }
  return Object.fromEntries(patch);
}

/**
 * How a journal relates to the snapshot beside it: it goes on from there, all of it is in there (or it holds
 * nothing), or another writer replaced the snapshot.
 */
export type Relation = "continues" | "spent" | "foreign";

/** The end of a journal, where the next record goes. */
export interface JournalEnd {
  base: string | undefined;
  /** The checksum of the last whole line. */
  sum: string;
  /** The position behind the last whole line. */
  end: number;
  /** The number of records. */
  records: number;
  /** Bytes of the messages in the records, as they are in a snapshot, with a separator before each record's. */
  size: number;
  /** The metadata keys that any record has changed. */
  changed: readonly string[];
  relation: Relation;
}

/** Bytes for a journal, and what it is like when they are written. */
export interface EncodedJournal {
  bytes: Buffer;
  state: JournalEnd;
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
  journal: JournalEnd,
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

/** The metadata after the last of these records. */
export function patched(metadata: MetadataPatch, records: readonly JournalRecord[]): MetadataPatch {
  const last = records.at(-1);
  return last === undefined ? metadata : apply_patch(metadata, last.metadata);
}
