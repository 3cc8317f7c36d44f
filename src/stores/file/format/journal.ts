import type { Message } from "@simulacra-ai/core";
import { createHash } from "node:crypto";
import type { Pause } from "../../../async/time-slicer.js";
import { apply_patch, metadata_difference, type MetadataPatch } from "../../../metadata.js";
import type { SessionMetadata } from "../../../types.js";
import { checksum, digest } from "./checksum.js";
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

/** A record that was read. */
export interface JournalEntry extends RecordHead {
  sum: string;
  /** Bytes of the messages as they stand in the file. */
  size: number;
  /** Empty where the messages were not asked for. */
  messages: Message[];
}

export interface Journal {
  /** `undefined`: not even the first line is whole. */
  header: JournalHeader | undefined;
  /** The checksum of the last whole line. */
  sum: string;
  records: JournalEntry[];
  /** Up to here the bytes are whole records; what follows is a torn tail. */
  end: number;
  /** `undefined`: what follows, if anything, is a torn tail. */
  damage: JournalDamage | undefined;
}

/** Bytes that are not what was written, with something behind them. */
export interface JournalDamage {
  reason: string;
  /** The whole records behind them, in whatever order. */
  records: JournalEntry[];
}

/** Marks the line that ends a record; no message begins with it. */
const MARK = "#";
const MARK_BYTE = 0x23;
const OPENING_BRACE = 0x7b;
const NEWLINE = 0x0a;
const LINE_END = /* @__PURE__ */ Buffer.from("\n");

/** Encodes a line. `messages`: the JSON texts of the record's messages, with separators between them. */
export function encode_line(messages: Buffer, head: JournalHeader | RecordHead): { bytes: Buffer; sum: string } {
  const body = messages.length === 0 ? messages : Buffer.concat([messages, LINE_END]);
  const json = JSON.stringify(head);
  const sum = checksum(body, json);
  return { bytes: Buffer.concat([body, Buffer.from(`${MARK}${sum} ${body.length} ${json}\n`)]), sum };
}

/** The number of characters that are joined and encoded at a time: far less than one string can hold. */
const MOST_JOINED = 1024 * 1024;

/** Encodes messages as they stand in a journal, a few at a time. */
export function* join_messages(texts: readonly string[]): Generator<Buffer> {
  for (let begin = 0, end = 0; begin < texts.length; begin = end) {
    for (let length = 0; end < texts.length && (end === begin || length < MOST_JOINED); end += 1) {
      length += texts[end]?.length ?? 0;
    }
    yield Buffer.from(texts.slice(begin, end).join(JSON_SEPARATOR));
  }
}

/** A line whose checksum nobody has looked at yet, and the messages before it. */
export interface FoundLine {
  sum: string;
  json: Buffer;
  /** The messages, with the line break behind them. */
  covered: Buffer;
  /** From the first byte of the messages to behind the line. */
  begin: number;
  end: number;
}

/** A whole line and the messages before it. */
export interface Line {
  sum: string;
  head: JournalHeader | RecordHead;
  body: Buffer;
  /** The position behind the line. */
  end: number;
}

/** In a message's text every quote is escaped, so that no text looks like this. */
const HEAD_OF_LINE = /^#([0-9a-f]{16}) (\d{1,15}) (?=\{"(?:n|journal)":)/;

/** Finds the line that is marked at `mark`. Returns "incomplete" if the line does not end in these bytes. */
export function line_at_mark(bytes: Buffer, mark: number): FoundLine | "incomplete" | undefined {
  const beginning = bytes.toString("latin1", mark, mark + 48);
  const match = HEAD_OF_LINE.exec(beginning);
  const newline = match === null && beginning.length === 48 ? -1 : bytes.indexOf(NEWLINE, mark);
  if (newline < 0) {
    return match === null && beginning.length === 48 ? undefined : "incomplete";
  }
  const [prefix = "", sum = "", length = "0"] = match ?? [];
  const begin = mark - Number(length);
  if (match === null || begin < 0) {
    return undefined;
  }
  const json = bytes.subarray(mark + prefix.length, newline);
  return { sum, json, covered: bytes.subarray(begin, mark), begin, end: newline + 1 };
}

/** Finds the line whose messages begin at `begin`. Returns "incomplete" if the line does not end in these bytes. */
export function line_from(bytes: Buffer, begin: number): FoundLine | "incomplete" | undefined {
  const is_at_once = bytes[begin] === MARK_BYTE;
  if (begin < bytes.length && !is_at_once && bytes[begin] !== OPENING_BRACE) {
    return undefined; // messages are objects
  }
  const mark = is_at_once ? begin : bytes.indexOf(`\n${MARK}`, begin) + 1;
  const line = mark === 0 && !is_at_once ? "incomplete" : line_at_mark(bytes, mark);
  return typeof line === "object" && line.begin !== begin ? undefined : line;
}

/** The bytes that are hashed at a time. */
const MOST_HASHED = 1024 * 1024;

/** Checks a line. Returns `undefined` if its checksum is another one. */
export async function checked_line({ sum, json, covered, end }: FoundLine, pause: Pause): Promise<Line | undefined> {
  const hash = createHash("sha256");
  for (let at = 0; at < covered.length; at += MOST_HASHED) {
    hash.update(covered.subarray(at, at + MOST_HASHED));
    await pause();
  }
  if (digest(hash.update(json)) !== sum) {
    return undefined;
  }
  const head = parse_object(json) as unknown as Line["head"] | undefined;
  return head && { sum, head, body: covered.subarray(0, Math.max(0, covered.length - 1)), end };
}

/** The record of a line, if it goes on where the journal has got to. */
export function next_record(
  line: Line,
  at: { base: string | undefined; sum: string; records: number },
): JournalRecord | undefined {
  const { head, sum, body } = line;
  const continues = "n" in head && head.prev === at.sum && head.n === at.records + 1 && head.base === at.base;
  return continues ? { ...head, sum, body } : undefined;
}

/** Finds the positions at which lines may be marked. The line break before a mark may be what is damaged. */
export function* marks_in(bytes: Buffer): Generator<number> {
  for (let mark = bytes.indexOf(MARK); mark >= 0; mark = bytes.indexOf(MARK, mark + 1)) {
    yield mark;
  }
}

/** True if bytes end as a record does, and none of their blocks is missing. Such bytes were written to the end once. */
export function is_closed_line(tail: Buffer): boolean {
  return tail.at(-1) === NEWLINE && tail.includes(MARK) && !tail.includes(0);
}

/**
 * Finds the line that ends with these last bytes of a journal. Returns `undefined` if no whole line ends there. Returns
 * "incomplete" if the line's mark is before these bytes. Its messages may be, too: `begin` is negative then.
 */
export function last_line(
  tail: Buffer,
): { sum: string; json: Buffer; mark: number; begin: number } | "incomplete" | undefined {
  if (tail.at(-1) !== NEWLINE) {
    return undefined;
  }
  const mark = tail.lastIndexOf(`\n${MARK}`, tail.length - 2) + 1;
  const match = HEAD_OF_LINE.exec(tail.toString("latin1", mark, mark + 48));
  if (match === null) {
    return mark === 0 ? "incomplete" : undefined;
  }
  const [prefix, sum = "", length = "0"] = match;
  return { sum, json: tail.subarray(mark + prefix.length, -1), mark, begin: mark - Number(length) };
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

/** Encodes a record of the journal of an earlier snapshot for the journal of this one. */
export function encode_again(
  head: SnapshotHead,
  journal: JournalEnd,
  { body, at, count, revision, metadata: patch }: JournalRecord,
  durable: boolean,
): EncodedJournal {
  const metadata = apply_patch(head.metadata, patch) as SessionMetadata;
  return encode_next(head, journal, body, { at, count, revision, metadata, durable });
}

/** How a journal relates to a snapshot of ours, and which of its records go on from there. */
export function relate(
  store: StoreHeader,
  message_count: number,
  journal: Journal,
): { relation: Relation; records: JournalEntry[] } {
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
  if (!next) {
    return { relation: base === store.generation ? "continues" : "spent", records };
  }
  return next.at === message_count ? { relation: "continues", records } : { relation: "foreign", records: [] };
}

/** Bytes that the messages of these records add to a snapshot, with a separator before each record's. */
export function size_of(records: readonly JournalEntry[]): number {
  return records.reduce((sum, { count, size }) => sum + (count > 0 ? JSON_SEPARATOR.length + size : 0), 0);
}

/** The messages of records. */
export function messages_of(records: readonly JournalEntry[]): Message[] {
  return records.flatMap(({ messages }) => messages);
}

/** The metadata after the last of these records. */
export function patched(metadata: MetadataPatch, records: readonly JournalEntry[]): MetadataPatch {
  const last = records.at(-1);
  return last ? apply_patch(metadata, last.metadata) : metadata;
}
