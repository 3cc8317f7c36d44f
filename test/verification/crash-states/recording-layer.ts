import type { FileLayer, FileStamp, OpenFile } from "../../../src/stores/file/fs/file-layer.js";
import { after_pause, at_rest } from "../../support/at-rest.js";
import { locks_are_files, refused_symlink } from "../lock-kind.js";
import { LoggedDisk, role_of, type LogEntry } from "./logged-disk.js";
import { MemoryDisk } from "./memory-disk.js";

interface Hold {
  label: string;
  arrive: () => void;
  passed: Promise<void>;
}

/** A disk in memory that logs what it is asked to change. */
export class RecordingLayer implements FileLayer {
  /** What there is, without waiting. */
  readonly now: LoggedDisk;
  #hold: Hold | undefined;

  constructor(disk: MemoryDisk | LoggedDisk = new MemoryDisk()) {
    this.now = disk instanceof LoggedDisk ? disk : new LoggedDisk(disk);
  }

  get log(): LogEntry[] {
    return this.now.log;
  }

  get disk(): MemoryDisk {
    return this.now.disk;
  }

  /** The next operation of this label waits, before it does anything, until it is let go. */
  hold(label: string): { reached: Promise<void>; let_go: () => void } {
    let [arrive, let_go] = [() => {}, () => {}];
    const reached = new Promise<void>((resolve) => (arrive = resolve));
    const passed = new Promise<void>((resolve) => (let_go = resolve));
    this.#hold = { label, arrive, passed };
    return { reached, let_go };
  }

  /** Where nothing is held this costs no turn of the event loop. */
  #pass(label: string): Promise<void> | undefined {
    const hold = this.#hold;
    if (hold?.label !== label) {
      return undefined;
    }
    this.#hold = undefined;
    hold.arrive();
    return hold.passed;
  }

  /** Resolves when nothing goes on behind the scenes any more. */
  async quiet(): Promise<void> {
    await after_pause();
    await at_rest(() => this.log.length);
  }

  /** What another program does in one step: a new file under this name, synced. */
  place(path: string, data: Buffer): void {
    this.now.place(path, data);
  }

  #open_file(inode: number, path: string): OpenFile {
    const { now } = this;
    const sync = async (verb: "sync" | "datasync") => {
      await this.#pass(`${verb} ${role_of(path)}`);
      now.sync(inode, path, verb);
    };
    return {
      stat: async () => now.stamp_of(inode),
      read: async (buffer, position) => now.data_of(inode).copy(buffer, 0, position, position + buffer.length),
      write: async (data, position) => {
        await this.#pass(`write ${role_of(path)}`);
        now.write(inode, path, Buffer.from(data), position);
        return data.length;
      },
      truncate: async (size) => now.truncate(inode, path, size),
      sync: () => sync("sync"),
      datasync: () => sync("datasync"),
      close: async () => this.#pass(`close ${role_of(path)}`),
    };
  }

  async open(path: string): Promise<OpenFile> {
    return this.#open_file(this.now.open(path), path);
  }

  async create(path: string, mode: number): Promise<OpenFile> {
    await this.#pass(`create ${role_of(path)}`);
    return this.#open_file(this.now.create(path, mode), path);
  }

  async stat(path: string): Promise<FileStamp | undefined> {
    return this.now.stat(path);
  }

  async real_path(path: string): Promise<string | undefined> {
    return this.now.stat(path) && path;
  }

  async names(directory: string): Promise<string[]> {
    return this.now.names(directory);
  }

  async make_directory(path: string, mode: number): Promise<void> {
    this.now.make_directory(path, mode);
  }

  async remove_directory(path: string): Promise<void> {
    this.now.remove_directory(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#pass(`rename to ${role_of(to)}`);
    this.now.rename(from, to);
  }

  async link(existing: string, path: string): Promise<void> {
    this.now.link(existing, path);
  }

  async unlink(path: string): Promise<void> {
    this.now.unlink(path);
  }

  async symlink(target: string, path: string): Promise<void> {
    if (locks_are_files()) {
      return refused_symlink();
    }
    this.now.symlink(target, path);
  }

  /** Puts a lock there that a process has left. */
  leave_lock(target: string, path: string): void {
    if (locks_are_files()) {
      this.place(path, Buffer.from(target));
    } else {
      this.now.symlink(target, path);
    }
  }

  async readlink(path: string): Promise<string> {
    return this.now.readlink(path);
  }

  async sync_directory(path: string): Promise<void> {
    const entry = this.now.directory_sync(path);
    await this.#pass(entry.label);
    this.log.push(entry);
  }
}

/** The same as Windows has it: no symbolic links, no syncs of directories. */
export class WindowsRecordingLayer extends RecordingLayer {
  override symlink(): Promise<void> {
    return refused_symlink();
  }

  override sync_directory(): Promise<void> {
    return Promise.reject(Object.assign(new Error("EPERM: no syncs of directories"), { code: "EPERM" }));
  }
}
