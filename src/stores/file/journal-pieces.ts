import { corrupt } from "./format/corrupt.js";
import { read_into, type OpenFile } from "./fs/file-layer.js";
import { decode_line_at, next_record, type JournalRecord, type Line } from "./format/journal.js";
import type { JournalState } from "./session-view.js";

const PIECE_BYTES = 256 * 1024;

/** A place in a journal: behind so many records, the last of which has this checksum. */
export type JournalPlace = Pick<JournalState, "base" | "sum" | "end" | "records">;

/**
 * Reads the records between two places of a journal, or from its beginning, a piece at a time: neither memory nor the
 * event loop has to hold all of it. The bytes of a record count until the next one is asked for.
 * @throws {SessionError} `corrupt` where they are not there.
 */
export async function* read_records(
  file: OpenFile,
  path: string,
  from: JournalPlace | undefined,
  to: JournalPlace,
): AsyncGenerator<JournalRecord> {
  let { sum, records } = from ?? { sum: "", records: -1 };
  for await (const line of read_lines(file, path, from?.end ?? 0, to.end)) {
    if (records >= 0) {
      const record = next_record(line, { base: to.base, sum, records });
      if (record === undefined) {
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

async function* read_lines(file: OpenFile, path: string, begin: number, end: number): AsyncGenerator<Line> {
  let piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - begin));
  let unread = piece.subarray(0, 0);
  for (let position = begin; ;) {
    const line = decode_line_at(unread, 0);
    if (line !== undefined) {
      yield line;
      unread = unread.subarray(line.end);
      continue;
    }
    if (position === end && unread.length === 0) {
      return;
    }
    if (unread.length === piece.length) {
      piece = Buffer.allocUnsafe(2 * unread.length);
    }
    const kept = unread.copy(piece);
    const room = piece.subarray(kept, kept + end - position);
    const count = await read_into(room, file, position);
    if (count === 0) {
      throw corrupt(path, `it ends in the middle of a record`);
    }
    unread = piece.subarray(0, kept + count);
    position += count;
  }
}
