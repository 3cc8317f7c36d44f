import { createHash } from "node:crypto";
import { pauses, type Pause } from "../../async/time-slicer.js";
import { digest } from "./format/checksum.js";
import { corrupt, parse_object } from "./format/corrupt.js";
import {
  checked_line,
  last_line,
  line_at_mark,
  line_from,
  marks_in,
  next_record,
  type Journal,
  type JournalDamage,
  type JournalEnd,
  type JournalEntry,
  type JournalRecord,
  type Line,
  type RecordHead,
} from "./format/journal.js";
import { parse_messages } from "./format/messages.js";
import { read_into, read_range, type FileLayer, type FileStamp, type OpenFile } from "./fs/file-layer.js";
import { PIECE_BYTES, read_pieces, read_regular } from "./fs/regular-file.js";

/** A place in a journal: behind so many records, the last of which has this checksum. */
export type JournalPlace = Pick<JournalEnd, "base" | "sum" | "end" | "records">;

/** A journal as it was read. */
export interface JournalFile {
  stamp: FileStamp;
  journal: Journal;
}

/** Reads a journal as far as it is whole, a piece at a time. Returns `undefined` if there is none. */
export async function read_journal(
  layer: FileLayer,
  path: string,
  wanted: "heads" | "messages",
): Promise<JournalFile | undefined> {
  return read_regular(layer, path, async (file, stamp) => {
    const pause = pauses();
    const journal: Journal = { header: undefined, sum: "", records: [], end: 0, damage: undefined };
    const entry_of = async ({ body, ...record }: JournalRecord): Promise<JournalEntry> => {
      const messages = wanted === "messages" ? await parse_messages(body, path, pause) : [];
      return { ...record, size: body.length, messages };
    };
    for await (const line of read_lines(file, 0, stamp.size, pause)) {
      if (journal.header) {
        const { header, sum, records } = journal;
        const record = next_record(line, { base: header.base, sum, records: records.length });
        if (!record) {
          break;
        }
        records.push(await entry_of(record));
      } else if ("journal" in line.head && line.head.journal === 1) {
        journal.header = line.head;
      } else {
        break;
      }
      journal.sum = line.sum;
      journal.end = line.end;
    }
    journal.damage = await damage_after(file, journal.end, stamp.size, pause, entry_of);
    return { stamp, journal };
  });
}

/** Invalid bytes are a torn tail, unless a whole record follows them that was synced after they were. */
async function damage_after(
  file: OpenFile,
  begin: number,
  end: number,
  pause: Pause,
  entry_of: (record: JournalRecord) => Promise<JournalEntry>,
): Promise<JournalDamage | undefined> {
  const bytes = begin < end ? await read_range(file, begin, end - begin) : Buffer.alloc(0);
  const records: JournalEntry[] = [];
  let reason: string | undefined;
  let behind = 0;
  for (const mark of marks_in(bytes)) {
    const found = mark < behind ? undefined : line_at_mark(bytes, mark);
    const line = typeof found === "object" ? await checked_line(found, pause) : undefined;
    if (line) {
      const head = line.head as RecordHead; // or the first line of a journal, which does not belong here either
      behind = line.end;
      records.push(await entry_of({ ...head, sum: line.sum, body: line.body }));
      reason ??= head.durable === false ? undefined : `bytes ${begin} to ${begin + mark} are not what was written`;
    }
    await pause();
  }
  return reason === undefined ? undefined : { reason, records };
}

/**
 * Reads the records between two places of a journal, or from its beginning. The bytes of a record count until the next
 * one is asked for.
 * @throws {SessionError} `corrupt` where they are not there.
 */
export async function* read_records(
  file: OpenFile,
  path: string,
  from: JournalPlace | undefined,
  to: JournalPlace,
): AsyncGenerator<JournalRecord> {
  let { sum, records } = from ?? { sum: "", records: -1 };
  for await (const line of read_lines(file, from?.end ?? 0, to.end, pauses())) {
    if (records >= 0) {
      const record = next_record(line, { base: to.base, sum, records });
      if (!record) {
        throw corrupt(path, `it does not go on behind record ${records}`);
      }
      yield record;
    }
    ({ sum } = line);
    records += 1;
  }
  if (sum !== to.sum || records !== to.records) {
    throw corrupt(path, "its records are not those that were written");
  }
}

/** Reads records as `read_records` does, and opens the file for that. */
export async function* records_in(
  layer: FileLayer,
  path: string,
  from: JournalPlace | undefined,
  to: JournalPlace,
): AsyncGenerator<JournalRecord> {
  const file = await layer.open(path, "read");
  try {
    yield* read_records(file, path, from, to);
  } finally {
    await file.close();
  }
}

/** Reads lines up to the first that is not whole. Memory has to hold the longest record. */
async function* read_lines(file: OpenFile, begin: number, end: number, pause: Pause): AsyncGenerator<Line> {
  let piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - begin));
  let unread = piece.subarray(0, 0);
  for (let position = begin; ;) {
    const found = line_from(unread, 0);
    if (typeof found === "object") {
      const line = await checked_line(found, pause);
      if (!line) {
        return;
      }
      yield { ...line, end: position - unread.length + line.end };
      unread = unread.subarray(line.end);
      continue;
    }
    if (found === undefined || position === end) {
      return;
    }
    if (unread.length === piece.length) {
      piece = Buffer.allocUnsafe(2 * unread.length);
    }
    const kept = unread.copy(piece);
    const room = piece.subarray(kept, kept + end - position);
    const count = await read_into(room, file, position);
    unread = piece.subarray(0, kept + count);
    position += count;
    if (count === 0) {
      return;
    }
  }
}

const TAIL_BYTES = 4096;

/** The head of the last record of a journal. */
export interface LastRecord {
  record: RecordHead;
  stamp: FileStamp;
}

/**
 * Reads the head of a journal's last record, from the end of the file. Returns `undefined` if there is no journal, and
 * "unclear" if the end does not tell.
 */
export async function read_last_record(layer: FileLayer, path: string): Promise<LastRecord | "unclear" | undefined> {
  return read_regular(layer, path, async (file, stamp) => {
    for (let length = TAIL_BYTES; ; length *= 4) {
      const at = Math.max(0, stamp.size - length);
      const line = last_line(await read_range(file, at, stamp.size - at));
      if (line === undefined || (line === "incomplete" ? at === 0 : at + line.begin < 0)) {
        return "unclear";
      }
      if (line !== "incomplete") {
        const hash = createHash("sha256");
        for await (const piece of read_pieces(file, at + line.begin, at + line.mark)) {
          hash.update(piece);
        }
        const record = parse_object(line.json) as unknown as RecordHead | undefined;
        const is_whole = digest(hash.update(line.json)) === line.sum;
        return is_whole && record && "n" in record ? { record, stamp } : "unclear";
      }
    }
  });
}
