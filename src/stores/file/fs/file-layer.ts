import { is_error } from "../../../errors.js";

/** The facts about a file that the store compares. */
export interface FileStamp {
  inode: bigint;
  size: number;
  mtime_ns: bigint;
  mode: number;
  kind: "file" | "directory" | "other";
}

/** An open file. Reads and writes may be short, as in POSIX. */
export interface OpenFile {
  stat(): Promise<FileStamp>;
  /** Returns how many bytes were read; 0 at the end of the file. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Returns how many bytes were written. */
  write(data: Uint8Array, position: number): Promise<number>;
  truncate(size: number): Promise<void>;
  /** fsync. */
  sync(): Promise<void>;
  /** fdatasync. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** A file and its first bytes. */
export interface PeekedFile {
  stamp: FileStamp;
  bytes: Uint8Array;
}

/**
 * Every operation that the file store asks of the operating system: the seam at which tests record, reorder and fail
 * them. Errors carry Node's `code`. Nothing here follows a symbolic link at the last component of a path.
 */
export interface FileLayer {
  open(path: string, how: "read" | "modify"): Promise<OpenFile>;
  /**
   * Opens, looks at, reads the first bytes of and closes a file, all at once; where a layer has no such operation, the
   * single ones do it. Reads nothing of what is no regular file.
   */
  peek?(path: string, length: number): Promise<PeekedFile>;
  /** A new file with exactly this mode; `EEXIST` where the name is taken. */
  create(path: string, mode: number): Promise<OpenFile>;
  /** `undefined` where there is nothing of this name. */
  stat(path: string): Promise<FileStamp | undefined>;
  /** The path with all links followed; `undefined` where there is nothing. */
  real_path(path: string): Promise<string | undefined>;
  /** The names in a directory. */
  names(directory: string): Promise<string[]>;
  make_directory(path: string, mode: number): Promise<void>;
  remove_directory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  link(existing: string, path: string): Promise<void>;
  unlink(path: string): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  sync_directory(path: string): Promise<void>;
}

/** True for an error of the operating system with one of these codes. Deno's rights answer without a code. */
export function is_errno(error: unknown, ...codes: string[]): boolean {
  const { name, code } = Object(error) as { name?: unknown; code?: unknown };
  return is_error(error) && codes.includes(name === "NotCapable" ? "ERR_ACCESS_DENIED" : String(code));
}

/**
 * The answers to an operation that a file system, or the rights of the process, do not offer. Whoever asks knows that the
 * operation itself is right.
 */
export const REFUSALS = ["EPERM", "EINVAL", "EISDIR", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ERR_ACCESS_DENIED"];

/** The answers to a name that the file system cannot give to a file. */
export const NAME_REFUSALS = ["EINVAL", "EILSEQ", "ENAMETOOLONG"];

/** Runs an operation. Returns true if the operation succeeds, and false if it fails with one of these codes. */
export async function succeeds(codes: readonly string[], operation: () => unknown): Promise<boolean> {
  try {
    await operation();
    return true;
  } catch (error) {
    if (is_errno(error, ...codes)) {
      return false;
    }
    throw error;
  }
}

/** Writes all of it, however short the single writes are. */
export async function write_all(file: OpenFile, data: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < data.length;) {
    const written = await file.write(data.subarray(done), position + done);
    if (written <= 0) {
      throw Object.assign(new Error("the write made no progress"), { code: "EIO" });
    }
    done += written;
  }
}

/** Reads `length` bytes from `position`, fewer only at the end of the file. */
export async function read_range(file: OpenFile, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  return buffer.subarray(0, await read_into(buffer, file, position));
}

/** Fills a buffer from `position`. Returns how many bytes were read, fewer only at the end of the file. */
export async function read_into(buffer: Uint8Array, file: OpenFile, position: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const count = await file.read(buffer.subarray(done), position + done);
    if (count === 0) {
      break;
    }
    done += count;
  }
  return done;
}

export function same_stamp(a: FileStamp | undefined, b: FileStamp | undefined): boolean {
  return a?.inode === b?.inode && a?.size === b?.size && a?.mtime_ns === b?.mtime_ns;
}
