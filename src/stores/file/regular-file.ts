import { constants } from "node:buffer";
import { with_file } from "./durable-files.js";
import { is_errno, read_range, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";
import { corrupt } from "./corrupt.js";

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
    if (is_errno(error, "ENOENT")) {
      return undefined;
    }
    if (is_errno(error, "ELOOP", "EMLINK")) {
      throw corrupt(path, "it is a symbolic link", error);
    }
    throw error;
  }
  return with_file(file, async () => {
    const stamp = await file.stat();
    if (stamp.kind !== "file") {
      throw corrupt(path, "it is not a regular file");
    }
    if (is_too_large(stamp)) {
      throw corrupt(path, `it has ${stamp.size} bytes, more than can be read`);
    }
    return read(file, stamp);
  });
}

/** A whole file; `undefined` where there is none. @throws {SessionError} `corrupt`. */
export async function read_file(layer: FileLayer, path: string): Promise<ReadFile | undefined> {
  return read_regular(layer, path, async (file, stamp) => {
    return { stamp, bytes: await read_range(file, 0, stamp.size) };
  });
}
