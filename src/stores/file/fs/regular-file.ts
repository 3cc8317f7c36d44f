import { constants } from "node:buffer";
import { with_file } from "./durable-files.js";
import { is_errno, read_range, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";
import { corrupt } from "../format/corrupt.js";

export interface ReadFile {
  stamp: FileStamp;
  bytes: Buffer;
}

/** More than a string can hold. */
export function is_too_large(stamp: FileStamp): boolean {
  return stamp.size > constants.MAX_STRING_LENGTH;
}

/** Opens a regular file for reading; `undefined` where there is none. @throws {SessionError} `corrupt`. */
export async function read_regular<T>(
  layer: FileLayer,
  path: string,
  read: (file: OpenFile, stamp: FileStamp) => Promise<T>,
): Promise<T | undefined> {
  let file: OpenFile;
  try {
    file = await layer.open(path, "read");
  } catch (error) {
    return unless_missing(error, path);
  }
  return with_file(file, async () => {
    const stamp = await file.stat();
    require_regular(stamp, path);
    return read(file, stamp);
  });
}

/** The first bytes of a regular file, as many or all; `undefined` where there is none. @throws {SessionError} `corrupt`. */
export async function read_beginning(layer: FileLayer, path: string, length: number): Promise<ReadFile | undefined> {
  if (layer.peek === undefined) {
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
  if (is_too_large(stamp)) {
    throw corrupt(path, `it has ${stamp.size} bytes, more than can be read`);
  }
}

/** A whole file, or its first bytes; `undefined` where there is none. @throws {SessionError} `corrupt`. */
export async function read_file(layer: FileLayer, path: string, length = Infinity): Promise<ReadFile | undefined> {
  return read_regular(layer, path, async (file, stamp) => {
    return { stamp, bytes: await read_range(file, 0, Math.min(length, stamp.size)) };
  });
}
