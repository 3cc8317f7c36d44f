import fs from "node:fs";
import process from "node:process";
import { promisify } from "node:util";
import { timers } from "../../../async/timers.js";
import { patiently } from "./patience.js";
import { REFUSALS, succeeds, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";

/** Up to here a read or write goes to the page cache faster than to another thread and back. */
const INLINE_BYTES = 64 * 1024;
/** A look at a file in place that took longer waited for the device. */
const COLD_MS = 0.15;
/** The number of looks after that which are made on the thread pool, several at a time. */
const MOST_TO_POOL = 64;
/** The number of looks that are left for the thread pool. */
let to_pool = 0;

/** Longer files take the file system noticeable time to free. */
const LONG_BYTES = 1024 * 1024;
/** Longer than a change usually takes. */
const FREE_AFTER_MS = 20;
const MAX_CHUNK_BYTES = 4 * 1024 * 1024;
/** The answer of versions of Node.js that have no syncs under their permission model. */
const NO_SYNCS = ["ERR_ACCESS_DENIED"];

const on_pool = /* @__PURE__ */ pool_calls();

function pool_calls() {
  return {
    open: promisify(fs.open),
    read: promisify(fs.read),
    write: promisify(fs.write),
    sync: promisify(fs.fsync),
    datasync: promisify(fs.fdatasync),
    names: promisify(fs.readdir),
  };
}

/**
 * Node's file system. Calls that only touch names and the page cache are made in place, a few microseconds each;
 * what waits for the device (syncs, large reads and writes, directory scans, long files that are freed) runs on the
 * thread pool.
 */
export const NODE_FILE_LAYER: FileLayer = {
  async open(path, how) {
    return new NodeFile(fs.openSync(path, open_flags(how)));
  },

  async peek(path, length) {
    const is_cold = to_pool > 0;
    const began = timers.now();
    const fd = is_cold ? await on_pool.open(path, open_flags("read")) : fs.openSync(path, open_flags("read"));
    try {
      const stamp = to_stamp(fs.fstatSync(fd, { bigint: true }));
      const room = stamp.kind === "file" ? Math.min(length, stamp.size) : 0;
      const buffer = Buffer.allocUnsafe(room);
      const count = is_cold
        ? (await on_pool.read(fd, buffer, 0, room, 0)).bytesRead
        : fs.readSync(fd, buffer, 0, room, 0);
      to_pool = is_cold ? to_pool - 1 : timers.now() - began > COLD_MS ? MOST_TO_POOL : 0;
      return { stamp, bytes: buffer.subarray(0, count) };
    } finally {
      fs.closeSync(fd);
    }
  },

  async create(path, mode) {
    const fd = fs.openSync(path, "wx+", mode); // which follows no link
    try {
      await succeeds(REFUSALS, () => fs.fchmodSync(fd, mode)); // whatever the umask
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return new NodeFile(fd);
  },

  async stat(path) {
    const stats = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stats && to_stamp(stats);
  },

  async real_path(path) {
    let found: string | undefined;
    await succeeds(["ENOENT"], () => (found = fs.realpathSync(path)));
    return found;
  },

  async names(directory) {
    return on_pool.names(directory);
  },

  async make_directory(path, mode) {
    fs.mkdirSync(path, { mode });
    await succeeds(REFUSALS, () => fs.chmodSync(path, mode)); // whatever the umask
  },

  async remove_directory(path) {
    fs.rmdirSync(path);
  },

  async rename(from, to) {
    await patiently(() => freeing_later(to, () => fs.renameSync(from, to)));
  },

  async link(existing, path) {
    fs.linkSync(existing, path);
  },

  async unlink(path) {
    await patiently(() => freeing_later(path, () => fs.unlinkSync(path)));
  },

  async symlink(target, path) {
    fs.symlinkSync(target, path);
  },

  async readlink(path) {
    return fs.readlinkSync(path);
  },

  async sync_directory(path) {
    const fd = fs.openSync(path, "r");
    try {
      await on_pool.sync(fd);
    } finally {
      fs.closeSync(fd);
    }
  },
};

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
    return (await on_pool.read(this.#fd, buffer, 0, length, position)).bytesRead;
  }

  async write(data: Uint8Array, position: number): Promise<number> {
    const length = Math.min(data.length, MAX_CHUNK_BYTES);
    return length <= INLINE_BYTES
      ? fs.writeSync(this.#fd, data, 0, length, position)
      : (await on_pool.write(this.#fd, data, 0, length, position)).bytesWritten;
  }

  async truncate(size: number): Promise<void> {
    fs.ftruncateSync(this.#fd, size);
  }

  async sync(): Promise<void> {
    await succeeds(NO_SYNCS, () => on_pool.sync(this.#fd));
  }

  async datasync(): Promise<void> {
    await succeeds(NO_SYNCS, () => on_pool.datasync(this.#fd));
  }

  async close(): Promise<void> {
    fs.closeSync(this.#fd);
  }
}

/**
 * Takes a file its name, which may be the file's last.
 *
 * Hazard: to free a long file takes a millisecond for every few megabytes, and other syncs wait for that. So such a file is
 * kept open for 20 ms, and then closed on the thread pool. Windows changes no name of an open file.
 */
function freeing_later(path: string, change: () => void): void {
  const stats = process.platform === "win32" ? undefined : fs.lstatSync(path, { throwIfNoEntry: false });
  const fd = stats?.isFile() && stats.size > LONG_BYTES ? open_if_possible(path) : undefined;
  try {
    change();
  } finally {
    if (fd !== undefined) {
      timers.set_timeout(() => fs.close(fd, () => undefined), FREE_AFTER_MS).unref(); // nothing was written through it
    }
  }
}

/** Returns `undefined` if this process may not open the file. */
function open_if_possible(path: string): number | undefined {
  try {
    return fs.openSync(path, open_flags("read"));
  } catch (error) {
    return void error; // the change itself tells what is wrong
  }
}

/** Returns the flags that open a file, but follow no link and wait for no pipe. */
function open_flags(how: "read" | "modify"): number {
  const { constants } = fs; // those of some systems lack two of these
  return (
    (how === "read" ? constants.O_RDONLY : constants.O_RDWR) | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
  );
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
