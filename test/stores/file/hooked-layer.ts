import type { FileLayer, FileStamp, OpenFile } from "../../../src/stores/file/fs/file-layer.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";

export interface Operation {
  /** Counts the operations of the layer from 1. */
  n: number;
  /** The method; those of an open file begin with `file.`. */
  name: string;
  path: string;
}

/** Called before each operation; may fail it, or return how many bytes a write may write. */
export type Hook = (operation: Operation) => void | number | Promise<void | number>;

/** A layer over another one that counts, and asks before every operation. */
export class HookedLayer implements FileLayer {
  readonly operations: Operation[] = [];
  hook: Hook;
  opened = 0;
  closed = 0;
  bytes_read = 0;
  bytes_written = 0;
  /** Where nothing but the order of operations matters, waiting for the device only takes time. */
  readonly syncs: boolean;
  readonly #inner: FileLayer;
  readonly #open = new Set<OpenFile>();

  constructor(hook: Hook = () => undefined, options: { inner?: FileLayer; syncs?: boolean } = {}) {
    this.hook = hook;
    this.#inner = options.inner ?? NODE_FILE_LAYER;
    this.syncs = options.syncs ?? true;
  }

  names_of_operations(): string[] {
    return this.operations.map(({ name }) => name);
  }

  forget(): void {
    this.operations.length = 0;
    this.bytes_read = 0;
    this.bytes_written = 0;
  }

  /** Closes what a process that died would have left open. */
  async abandon(): Promise<void> {
    for (const file of this.#open) {
      await file.close();
    }
    this.#open.clear();
  }

  async #before(name: string, path: string): Promise<void | number> {
    const operation = { n: this.operations.length + 1, name, path };
    this.operations.push(operation);
    return this.hook(operation);
  }

  #opened(file: OpenFile, path: string): OpenFile {
    this.opened += 1;
    this.#open.add(file);
    return {
      stat: async () => {
        await this.#before("file.stat", path);
        return file.stat();
      },
      read: async (buffer, position) => {
        await this.#before("file.read", path);
        const count = await file.read(buffer, position);
        this.bytes_read += count;
        return count;
      },
      write: async (data, position) => {
        const at_most = await this.#before("file.write", path);
        const count = await file.write(typeof at_most === "number" ? data.subarray(0, at_most) : data, position);
        this.bytes_written += count;
        return count;
      },
      truncate: async (size) => {
        await this.#before("file.truncate", path);
        return file.truncate(size);
      },
      sync: async () => {
        await this.#before("file.sync", path);
        return this.syncs ? file.sync() : undefined;
      },
      datasync: async () => {
        await this.#before("file.datasync", path);
        return this.syncs ? file.datasync() : undefined;
      },
      close: async () => {
        try {
          await this.#before("file.close", path);
        } finally {
          this.#open.delete(file);
          await file.close(); // as the system does, whatever close returns
          this.closed += 1;
        }
      },
    };
  }

  async open(path: string, how: "read" | "modify"): Promise<OpenFile> {
    await this.#before("open", path);
    return this.#opened(await this.#inner.open(path, how), path);
  }

  async create(path: string, mode: number): Promise<OpenFile> {
    await this.#before("create", path);
    return this.#opened(await this.#inner.create(path, mode), path);
  }

  async stat(path: string): Promise<FileStamp | undefined> {
    await this.#before("stat", path);
    return this.#inner.stat(path);
  }

  async real_path(path: string): Promise<string | undefined> {
    await this.#before("real_path", path);
    return this.#inner.real_path(path);
  }

  async names(directory: string): Promise<string[]> {
    await this.#before("names", directory);
    return this.#inner.names(directory);
  }

  async make_directory(path: string, mode: number): Promise<void> {
    await this.#before("make_directory", path);
    return this.#inner.make_directory(path, mode);
  }

  async remove_directory(path: string): Promise<void> {
    await this.#before("remove_directory", path);
    return this.#inner.remove_directory(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#before("rename", to);
    return this.#inner.rename(from, to);
  }

  async link(existing: string, path: string): Promise<void> {
    await this.#before("link", path);
    return this.#inner.link(existing, path);
  }

  async unlink(path: string): Promise<void> {
    await this.#before("unlink", path);
    return this.#inner.unlink(path);
  }

  async symlink(target: string, path: string): Promise<void> {
    await this.#before("symlink", path);
    return this.#inner.symlink(target, path);
  }

  async readlink(path: string): Promise<string> {
    await this.#before("readlink", path);
    return this.#inner.readlink(path);
  }

  async sync_directory(path: string): Promise<void> {
    await this.#before("sync_directory", path);
    return this.syncs ? this.#inner.sync_directory(path) : undefined;
  }
}

/** An error of the operating system. */
export function system_error(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
