import fs from "node:fs";
import { promisify } from "node:util";
import { DeviceGauge } from "./device-gauge.js";
import { change_name, free_all, open_flags, patiently, with_room } from "./long-files.js";
import { REFUSALS, succeeds, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";

/** Up to here a read or write goes to the page cache faster than to another thread and back. */
const INLINE_BYTES = 64 * 1024;
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
 * whatever waits for the device (syncs, large reads and writes, directory scans, long files that are freed) runs on the
 * thread pool.
 */
export const NODE_FILE_LAYER: FileLayer = {
  async open(path, how) {
    return new NodeFile(fs.openSync(path, open_flags(how)));
  },

  async peek(path, length) {
    const fd = opening.is_cold
      ? await opening.on_pool(() => on_pool.open(path, open_flags("read")))
      : opening.in_place(() => fs.openSync(path, open_flags("read")));
    try {
      const stamp = to_stamp(fs.fstatSync(fd, { bigint: true }));
      const room = stamp.kind === "file" ? Math.min(length, stamp.size) : 0;
      const buffer = Buffer.allocUnsafe(room);
      const count = reading.is_cold
        ? (await reading.on_pool(() => on_pool.read(fd, buffer, 0, room, 0))).bytesRead
        : reading.in_place(() => fs.readSync(fd, buffer, 0, room, 0));
      return { stamp, bytes: buffer.subarray(0, count) };
    } finally {
      fs.closeSync(fd);
    }
  },

  async create(path, mode) {
    const fd = await with_room(() => fs.openSync(path, "wx+", mode)); // which follows no link
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
    await with_room(() => fs.mkdirSync(path, { mode }));
    await succeeds(REFUSALS, () => fs.chmodSync(path, mode)); // whatever the umask
  },

  async remove_directory(path) {
    fs.rmdirSync(path);
  },

  async rename(from, to) {
    await patiently(() => with_room(() => change_name(to, () => fs.renameSync(from, to))));
  },

  async link(existing, path) {
    await with_room(() => fs.linkSync(existing, path));
  },

  async unlink(path) {
    await patiently(() => change_name(path, () => fs.unlinkSync(path)));
  },

  async symlink(target, path) {
    await with_room(() => fs.symlinkSync(target, path));
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

  async free() {
    await free_all();
  },
};

const opening = /* @__PURE__ */ new DeviceGauge();
const reading = /* @__PURE__ */ new DeviceGauge();
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
    return with_room(async () =>
      length <= INLINE_BYTES
        ? fs.writeSync(this.#fd, data, 0, length, position)
        : (await on_pool.write(this.#fd, data, 0, length, position)).bytesWritten,
    );
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

function to_stamp(stats: fs.BigIntStats): FileStamp {
  return {
    inode: stats.ino,
    size: Number(stats.size),
    mtime_ns: stats.mtimeNs,
    mode: Number(stats.mode) & 0o7777,
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "other",
  };
}
