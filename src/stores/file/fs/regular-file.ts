import { constants } from "node:buffer";
import { with_file } from "./durable-files.js";
import { is_errno, read_into, read_range, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";
import { corrupt } from "../format/corrupt.js";

export interface ReadFile {
  stamp: FileStamp;
  bytes: Buffer;
}

/** A regular file that is open for reading. */
export interface OpenedFile {
  file: OpenFile;
  stamp: FileStamp;
}

/**
 * Opens a regular file for reading. Returns `undefined` if there is none. The caller closes the file.
 * @throws {SessionError} `corrupt` for a link, a directory, a device or a socket.
 */
export async function open_regular(layer: FileLayer, path: string): Promise<OpenedFile | undefined> {
  let file: OpenFile;
  try {
    file = await layer.open(path, "read");
  } catch (error) {
    return unless_missing(error, path);
  }
  try {
    const stamp = await file.stat();
    require_regular(stamp, path);
    return { file, stamp };
  } catch (error) {
    await file.close().catch(() => undefined); // the first error says more
    throw error;
  }
}

/** Opens a regular file for the length of `read`. Returns `undefined` if there is none. @throws {SessionError} `corrupt`. */
export async function read_regular<T>(
  layer: FileLayer,
  path: string,
  read: (file: OpenFile, stamp: FileStamp) => Promise<T>,
): Promise<T | undefined> {
  const opened = await open_regular(layer, path);
  return opened && with_file(opened.file, () => read(opened.file, opened.stamp));
}

/** The first bytes of a regular file, as many or all; `undefined` where there is none. @throws {SessionError} `corrupt`. */
export async function read_beginning(layer: FileLayer, path: string, length: number): Promise<ReadFile | undefined> {
  if (!layer.peek) {
    return read_file(layer, path, length);
  }
  try {
    const { stamp, bytes } = await layer.peek(path, length);
    require_regular(stamp, path);
    return { stamp, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) };
  } catch (error) {
    return unless_missing(error, path);
  }
}

function unless_missing(error: unknown, path: string): undefined {
  if (is_errno(error, "ELOOP", "EMLINK")) {
    throw corrupt(path, "it is a symbolic link", error);
  }
  if (is_errno(error, "ENXIO", "ENODEV", "EOPNOTSUPP")) {
    throw corrupt(path, "it is a socket or a device", error);
  }
  if (!is_errno(error, "ENOENT")) {
    throw error;
  }
}

/** @throws {SessionError} `corrupt`. */
function require_regular(stamp: FileStamp, path: string): void {
  if (stamp.kind !== "file") {
    throw corrupt(path, "it is not a regular file");
  }
}

/** A whole file, or its first bytes; `undefined` where there is none. @throws {SessionError} `corrupt`. */
export async function read_file(layer: FileLayer, path: string, length = Infinity): Promise<ReadFile | undefined> {
  return read_regular(layer, path, async (file, stamp) => ({
    stamp,
    bytes: await read_all(file, stamp, path, length),
  }));
}

/** Reads all bytes of a file, or the first ones. @throws {SessionError} `corrupt` beyond 4 GiB. */
export async function read_all(file: OpenFile, stamp: FileStamp, path: string, length = Infinity): Promise<Buffer> {
  const size = Math.min(length, stamp.size);
  if (size > constants.MAX_LENGTH) {
    throw corrupt(path, `it has ${size} bytes, more than can be read at once`);
  }
  return read_range(file, 0, size);
}

/** Bytes that are read at a time. */
export const PIECE_BYTES = 256 * 1024;

/** Reads the bytes between two positions, fewer at the end of the file. A piece counts until the next one is asked for. */
export async function* read_pieces(file: OpenFile, begin: number, end: number): AsyncGenerator<Buffer> {
  const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - begin));
  for (let at = begin; at < end;) {
    const count = await read_into(piece.subarray(0, end - at), file, at);
    if (count === 0) {
      return;
    }
    at += count;
    yield piece.subarray(0, count);
  }
}

/** Puts pieces together that end with a line, each to be used as they are. A line that is longer than a piece comes alone. */
export async function* whole_lines(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let begun: Buffer[] = [];
  for await (const piece of pieces) {
    const end = piece.lastIndexOf(NEWLINE) + 1;
    if (end > 0) {
      const first = begun.length > 0 ? piece.indexOf(NEWLINE) + 1 : 0;
      if (first > 0) {
        yield Buffer.concat([...begun, piece.subarray(0, first)]);
      }
      if (end > first) {
        yield piece.subarray(first, end);
      }
      begun = [];
    }
    if (end < piece.length) {
      begun.push(Buffer.from(piece.subarray(end)));
    }
  }
  if (begun.length > 0) {
    yield Buffer.concat(begun);
  }
}

const NEWLINE = 0x0a;
