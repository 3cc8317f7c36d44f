import { basename, dirname } from "node:path";
import type { FileLayer, FileStamp, OpenFile } from "../../src/stores/file/file-layer.js";
import { errno, MemoryDisk, ROOT_INODE, type Node } from "./memory-disk.js";

/** One name of a directory, as it becomes. */
export interface EntryChange {
  directory: number;
  name: string;
  inode: number | undefined;
}

/** What reaches the device only when it is synced, and the syncs. */
export type LogEntry = { label: string } & (
  | { kind: "write"; inode: number; position: number; data: Buffer }
  | { kind: "truncate"; inode: number; size: number }
  | { kind: "sync"; inode: number }
  | { kind: "entries"; changes: EntryChange[] }
  | { kind: "sync_directory"; directory: number }
);

type Unstamped = Node extends infer Kind ? (Kind extends Node ? Omit<Kind, "mtime"> : never) : never;

/** A file by what it is for, whatever its name. */
function role_of(path: string): string {
  const name = basename(path);
  const [, ending, aside] =
    /\.(tmp|meta\.json|json|journal|lock|ndjson|ndjson\.next)(\.[a-z]+-[^.]*)?$/.exec(name) ?? [];
  const place = dirname(path).endsWith("-forks") ? "forks/" : "";
  return (
    place +
    (ending === undefined
      ? name.endsWith("-forks")
        ? "forks"
        : "directory"
      : `{id}.${ending}${aside === undefined ? "" : " aside"}`)
  );
}

/** A file system in memory that logs what it is asked to change, and may drop syncs of chosen labels. */
export class RecordingLayer implements FileLayer {
  readonly log: LogEntry[] = [];
  readonly disk: MemoryDisk;
  /** Every label of a sync that was seen. */
  readonly sync_labels = new Set<string>();
  readonly #drops: (label: string) => boolean;
  readonly #last_change = new Map<number, string>();

  constructor(disk = new MemoryDisk(), drops: (label: string) => boolean = () => false) {
    this.disk = disk;
    this.#drops = drops;
  }

  #existing(path: string): { inode: number; node: Node } {
    const { inode } = this.disk.find(path);
    if (inode === undefined) {
      throw errno("ENOENT", path);
    }
    return { inode, node: this.disk.node(inode) };
  }

  #change(label: string, changes: EntryChange[]): void {
    for (const { directory, name, inode } of changes) {
      const node = this.disk.directory(directory);
      if (inode === undefined) {
        node.entries.delete(name);
      } else {
        node.entries.set(name, inode);
      }
      node.mtime = this.disk.now();
      if (!label.endsWith(".lock")) {
        this.#last_change.set(directory, label);
      }
    }
    this.log.push({ kind: "entries", label, changes });
  }

  #make(verb: string, path: string, node: Unstamped): number {
    const { directory, name, inode } = this.disk.find(path);
    if (inode !== undefined) {
      throw errno("EEXIST", path);
    }
    const made = this.disk.add({ ...node, mtime: this.disk.now() });
    this.#change(`${verb} ${role_of(path)}`, [{ directory, name, inode: made }]);
    return made;
  }

  #sync(entry: LogEntry): void {
    this.sync_labels.add(entry.label);
    if (!this.#drops(entry.label)) {
      this.log.push(entry);
    }
  }

  /** What another program does in one step: a new file under this name, synced. */
  place(path: string, data: Buffer): void {
    const { directory, name } = this.disk.find(path);
    const inode = this.disk.add({ kind: "file", mode: 0o600, data, mtime: this.disk.now() });
    const label = `place ${role_of(path)}`;
    this.log.push({ kind: "write", label, inode, position: 0, data }, { kind: "sync", label, inode });
    this.#change(label, [{ directory, name, inode }]);
    this.log.push({ kind: "sync_directory", label, directory });
  }

  #open_file(inode: number, path: string): OpenFile {
    const { disk, log } = this;
    const role = role_of(path);
    const file = (): Extract<Node, { kind: "file" }> => {
      const node = disk.node(inode);
      if (node.kind !== "file") {
        throw errno("EISDIR", path);
      }
      return node;
    };
    return {
      stat: async () => stamp_of(inode, disk.node(inode)),
      read: async (buffer, position) => file().data.copy(buffer, 0, position, position + buffer.length),
      write: async (data, position) => {
        const node = file();
        const copy = Buffer.from(data);
        log.push({ kind: "write", label: `write ${role}`, inode, position, data: copy });
        node.data = written(node.data, position, copy);
        node.mtime = disk.now();
        return data.length;
      },
      truncate: async (size) => {
        const node = file();
        log.push({ kind: "truncate", label: `truncate ${role}`, inode, size });
        node.data = resized(node.data, size);
        node.mtime = disk.now();
      },
      sync: async () => this.#sync({ kind: "sync", label: `sync ${role}`, inode }),
      datasync: async () => this.#sync({ kind: "sync", label: `datasync ${role}`, inode }),
      close: async () => undefined,
    };
  }

  async open(path: string): Promise<OpenFile> {
    const { inode, node } = this.#existing(path);
    if (node.kind === "link") {
      throw errno("ELOOP", path);
    }
    return this.#open_file(inode, path);
  }

  async create(path: string, mode: number): Promise<OpenFile> {
    return this.#open_file(this.#make("create", path, { kind: "file", mode, data: Buffer.alloc(0) }), path);
  }

  async stat(path: string): Promise<FileStamp | undefined> {
    try {
      const { inode, node } = this.#existing(path);
      return stamp_of(inode, node);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        return undefined;
      }
      throw error;
    }
  }

  async real_path(path: string): Promise<string | undefined> {
    return (await this.stat(path)) && path;
  }

  async names(directory: string): Promise<string[]> {
    return [...this.disk.directory(this.#existing(directory).inode).entries.keys()];
  }

  async make_directory(path: string, mode: number): Promise<void> {
    this.#make("make", path, { kind: "directory", mode, entries: new Map() });
  }

  async remove_directory(path: string): Promise<void> {
    const { inode } = this.#existing(path);
    if (this.disk.directory(inode).entries.size > 0) {
      throw errno("ENOTEMPTY", path);
    }
    const { directory, name } = this.disk.find(path);
    this.#change(`remove ${role_of(path)}`, [{ directory, name, inode: undefined }]);
  }

  async rename(from: string, to: string): Promise<void> {
    const { inode } = this.#existing(from);
    const [source, target] = [this.disk.find(from), this.disk.find(to)];
    if (target.inode === inode) {
      return; // as POSIX has it: both names stay
    }
    this.#change(`rename to ${role_of(to)}`, [
      { directory: source.directory, name: source.name, inode: undefined },
      { directory: target.directory, name: target.name, inode },
    ]);
  }

  async link(existing: string, path: string): Promise<void> {
    const { inode } = this.#existing(existing);
    const { directory, name, inode: taken } = this.disk.find(path);
    if (taken !== undefined) {
      throw errno("EEXIST", path);
    }
    this.#change(`link ${role_of(path)}`, [{ directory, name, inode }]);
  }

  async unlink(path: string): Promise<void> {
    this.#existing(path);
    const { directory, name } = this.disk.find(path);
    this.#change(`unlink ${role_of(path)}`, [{ directory, name, inode: undefined }]);
  }

  async symlink(target: string, path: string): Promise<void> {
    this.#make("link", path, { kind: "link", target });
  }

  async readlink(path: string): Promise<string> {
    const { node } = this.#existing(path);
    if (node.kind !== "link") {
      throw errno("EINVAL", path);
    }
    return node.target;
  }

  async sync_directory(path: string): Promise<void> {
    const directory = path === "/" ? ROOT_INODE : this.#existing(path).inode;
    const after = this.#last_change.get(directory) ?? "nothing";
    this.#sync({ kind: "sync_directory", label: `sync_directory after ${after}`, directory });
  }
}

function stamp_of(inode: number, node: Node): FileStamp {
  return {
    inode: BigInt(inode),
    size: node.kind === "file" ? node.data.length : 0,
    mtime_ns: node.mtime,
    mode: node.kind === "link" ? 0o777 : node.mode,
    kind: node.kind === "link" ? "other" : node.kind,
  };
}

export function resized(data: Buffer, size: number): Buffer {
  return size <= data.length ? data.subarray(0, size) : Buffer.concat([data, Buffer.alloc(size - data.length)]);
}

export function written(data: Buffer, position: number, added: Buffer): Buffer {
  const result = Buffer.from(resized(data, Math.max(data.length, position + added.length)));
  added.copy(result, position);
  return result;
}
