import fs from "node:fs";
import { promisify } from "node:util";
import { is_errno, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";

const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY, O_RDWR } = fs.constants;

/** Up to here a read or write goes to the page cache faster than to another thread and back. */
const INLINE_BYTES = 64 * 1024;
const MAX_CHUNK_BYTES = 4 * 1024 * 1024;

const open_async = promisify(fs.open);
const read_async = promisify(fs.read);
const write_async = promisify(fs.write);
const sync_async = promisify(fs.fsync);
const datasync_async = promisify(fs.fdatasync);
const readdir_async = promisify(fs.readdir);

type Peeked = Awaited<ReturnType<NonNullable<FileLayer["peek"]>>>;

/**
 * Node's file system. Calls that only touch names and the page cache are made in place, a few microseconds each;
 * whatever waits for the device (syncs, large reads and writes, directory scans, long files that are freed) runs on the
 * thread pool.
 */
export const NODE_FILE_LAYER: FileLayer = {
  async open(path, how) {
    return new NodeFile(fs.openSync(path, (how === "read" ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK));
  },

  peek(path, length) {
    if (peeks_to_pool > 0) {
      peeks_to_pool -= 1;
      return peek_on_pool(path, length);
    }
    return peek_in_place(path, length);
  },

  async create(path, mode) {
    const fd = fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    const file = new NodeFile(fd);
    try {
      fs.fchmodSync(fd, mode); // whatever the umask
    } catch (error) {
      await file.close();
      throw error;
    }
    return file;
  },

  async stat(path) {
    const stats = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stats && to_stamp(stats);
  },

  async real_path(path) {
    try {
      return fs.realpathSync(path);
    } catch (error) {
      if (is_errno(error, "ENOENT")) {
        return undefined;
      }
      throw error;
    }
  },

  async names(directory) {
    return readdir_async(directory);
  },

  async make_directory(path, mode) {
    fs.mkdirSync(path, { mode });
    fs.chmodSync(path, mode); // whatever the umask
  },

  async remove_directory(path) {
    fs.rmdirSync(path);
  },

  async rename(from, to) {
    void change_name(to, () => fs.renameSync(from, to)).freed; // the new file is in place: nobody waits for the old one
  },

  async link(existing, path) {
    fs.linkSync(existing, path);
  },

  async unlink(path) {
    await change_name(path, () => fs.unlinkSync(path)).freed; // its space is there again
  },

  async symlink(target, path) {
    fs.symlinkSync(target, path);
  },

  async readlink(path) {
    return fs.readlinkSync(path);
  },

  async sync_directory(path) {
    const fd = fs.openSync(path, O_RDONLY);
    try {
      await sync_async(fd);
    } finally {
      fs.closeSync(fd);
    }
  },
};

/** Changes a name. A long file whose last name this was is freed on the thread pool; `freed` resolves, whatever happens. */
function change_name(path: string, change: () => void): { freed: Promise<void> | undefined } {
  const is_long = (fs.lstatSync(path, { throwIfNoEntry: false })?.size ?? 0) > INLINE_BYTES;
  const fd = is_long ? open_if_possible(path) : undefined;
  try {
    change();
  } catch (error) {
    if (fd !== undefined) {
      fs.closeSync(fd);
    }
    throw error;
  }
  // Nothing was written through it: closing it cannot lose anything.
  return { freed: fd === undefined ? undefined : new Promise((resolve) => fs.close(fd, () => resolve())) };
}

/** `undefined`: not to be opened, and freed in place. */
function open_if_possible(path: string): number | undefined {
  try {
    return fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/** A look in place that took longer had to wait for the device. */
const SLOW_PEEK_MS = 0.06;
/** So many looks after one that had to wait are left to the thread pool, where they wait together: more where that goes on. */
const FEWEST_TO_POOL = 32;
const MOST_TO_POOL = 4096;
let peeks_to_pool = 0;
let next_to_pool = FEWEST_TO_POOL;

async function peek_in_place(path: string, length: number): Promise<Peeked> {
  const began = performance.now();
  const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stamp = to_stamp(fs.fstatSync(fd, { bigint: true }));
    const buffer = room_for(stamp, length);
    return { stamp, bytes: buffer.subarray(0, fs.readSync(fd, buffer, 0, buffer.length, 0)) };
  } finally {
    fs.closeSync(fd);
    const is_slow = performance.now() - began > SLOW_PEEK_MS;
    peeks_to_pool = is_slow ? next_to_pool : 0;
    next_to_pool = is_slow ? Math.min(4 * next_to_pool, MOST_TO_POOL) : Math.max(next_to_pool / 2, FEWEST_TO_POOL);
  }
}

async function peek_on_pool(path: string, length: number): Promise<Peeked> {
  const fd = await open_async(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stamp = to_stamp(fs.fstatSync(fd, { bigint: true }));
    const buffer = room_for(stamp, length);
    return { stamp, bytes: buffer.subarray(0, (await read_async(fd, buffer, 0, buffer.length, 0)).bytesRead) };
  } finally {
    fs.closeSync(fd);
  }
}

function room_for({ kind, size }: FileStamp, length: number): Buffer {
  return Buffer.allocUnsafe(kind === "file" ? Math.min(length, size) : 0);
}

class NodeFile implements OpenFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async stat(): Promise<FileStamp> {
    return to_stamp(fs.fstatSync(this.#fd, { bigint: true }));
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const length = Math.min(buffer.length, MAX_CHUNK_BYTES);
    if (length <= INLINE_BYTES) {
      return fs.readSync(this.#fd, buffer, 0, length, position);
    }
    return (await read_async(this.#fd, buffer, 0, length, position)).bytesRead;
  }

  async write(data: Uint8Array, position: number): Promise<number> {
    const length = Math.min(data.length, MAX_CHUNK_BYTES);
    if (length <= INLINE_BYTES) {
      return fs.writeSync(this.#fd, data, 0, length, position);
    }
    return (await write_async(this.#fd, data, 0, length, position)).bytesWritten;
  }

  async truncate(size: number): Promise<void> {
    fs.ftruncateSync(this.#fd, size);
  }

  async sync(): Promise<void> {
    await sync_async(this.#fd);
  }

  async datasync(): Promise<void> {
    await datasync_async(this.#fd);
  }

  async close(): Promise<void> {
    fs.closeSync(this.#fd);
  }
}

function to_stamp(stats: fs.BigIntStats): FileStamp {
  return {
    inode: stats.ino,
    size: Number(stats.size),
    mtime_ns: stats.mtimeNs,
    mode: Number(stats.mode) & 0o7777,
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "other",
  };
}
