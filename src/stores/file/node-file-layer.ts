import fs from "node:fs";
import { promisify } from "node:util";
import { timers } from "../../async/timers.js";
import { DeviceGauge } from "./device-gauge.js";
import { change_name, free_all, with_room } from "./long-files.js";
import { is_errno, type FileLayer, type FileStamp, type OpenFile, type PeekedFile } from "./file-layer.js";

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

/**
 * Node's file system. Calls that only touch names and the page cache are made in place, a few microseconds each;
 * whatever waits for the device (syncs, large reads and writes, directory scans, long files that are freed) runs on the
 * thread pool.
 */
export const NODE_FILE_LAYER: FileLayer = {
  async open(path, how) {
    return new NodeFile(fs.openSync(path, (how === "read" ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK));
  },

  async peek(path, length) {
    const fd = opening.is_cold ? await open_on_pool(path) : open_in_place(path);
    try {
      const stamp = to_stamp(fs.fstatSync(fd, { bigint: true }));
      const room = room_for(stamp, length);
      const buffer = Buffer.allocUnsafe(room);
      const count = reading.is_cold ? await read_on_pool(fd, buffer, room) : read_in_place(fd, buffer, room);
      return { stamp, bytes: buffer.subarray(0, count) };
    } finally {
      fs.closeSync(fd);
    }
  },

  peek_now(path, length) {
    return opening.is_cold || reading.is_cold ? undefined : peek_in_place(path, length);
  },

  async create(path, mode) {
    const fd = await with_room(() => fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
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

  stat_now(path) {
    try {
      const stats = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
      return stats && to_stamp(stats);
    } catch {
      return undefined; // `stat` says why
    }
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
    await with_room(() => fs.mkdirSync(path, { mode }));
    fs.chmodSync(path, mode); // whatever the umask
  },

  async remove_directory(path) {
    fs.rmdirSync(path);
  },

  async rename(from, to) {
    await with_room(() => change_name(to, () => fs.renameSync(from, to)));
  },

  async link(existing, path) {
    await with_room(() => fs.linkSync(existing, path));
  },

  async unlink(path) {
    change_name(path, () => fs.unlinkSync(path));
  },

  async symlink(target, path) {
    await with_room(() => fs.symlinkSync(target, path));
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

  async free() {
    await free_all();
  },
};

const PEEK_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
const opening = new DeviceGauge();
const reading = new DeviceGauge();
/** Taken again for every look in place. */
let peek_buffer = Buffer.alloc(0);

function peek_in_place(path: string, length: number): PeekedFile | undefined {
  if (peek_buffer.length < length) {
    peek_buffer = Buffer.allocUnsafeSlow(length);
  }
  let fd: number | undefined;
  try {
    fd = open_in_place(path);
    const stamp = to_stamp(fs.fstatSync(fd, { bigint: true }));
    return { stamp, bytes: peek_buffer.subarray(0, read_in_place(fd, peek_buffer, room_for(stamp, length))) };
  } catch {
    return undefined; // `peek` says what is wrong
  } finally {
    if (fd !== undefined) {
      fs.closeSync(fd);
    }
  }
}

function open_in_place(path: string): number {
  const began = timers.now();
  const fd = fs.openSync(path, PEEK_FLAGS);
  opening.made_in_place(began);
  return fd;
}

function open_on_pool(path: string): Promise<number> {
  opening.made_on_pool();
  return open_async(path, PEEK_FLAGS);
}

function read_in_place(fd: number, buffer: Buffer, length: number): number {
  const began = timers.now();
  const count = fs.readSync(fd, buffer, 0, length, 0);
  reading.made_in_place(began);
  return count;
}

async function read_on_pool(fd: number, buffer: Buffer, length: number): Promise<number> {
  reading.made_on_pool();
  return (await read_async(fd, buffer, 0, length, 0)).bytesRead;
}

/** How much of a file to read: nothing of what is no regular file. */
function room_for({ kind, size }: FileStamp, length: number): number {
  return kind === "file" ? Math.min(length, size) : 0;
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
    return with_room(() => this.#write(data, position));
  }

  async #write(data: Uint8Array, position: number): Promise<number> {
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
