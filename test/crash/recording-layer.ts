import { basename, dirname } from "node:path";
import type { FileLayer, FileStamp, OpenFile } from "../../src/stores/file/file-layer.js";
import { errno, MemoryDisk, ROOT_INODE, type Node } from "./memory-disk.js";

/** One name of a directory, as it becomes. */
export interface EntryChange {
  directory: number;
  name: string;
  inode: number | undefined;
}

/** What a user of the store asks for: it is under way from its beginning to its end, and acknowledged then. */
export interface Change {
  name: string;
  /** Asked of the store, not a step of a scenario. */
  is_traced: boolean;
  /** The sessions that it changes, as they are afterwards; known when it has ended. */
  after: Map<string, string>;
  /** The draft that a session is to have; `undefined`: it asks for none, or has failed. */
  draft?: { id: string; text: string | undefined } | undefined;
  /** The fork links as they have to be afterwards; `undefined`: that is known of steps only. */
  links?: string;
}

/** What reaches the device only when it is synced, the syncs, and between them what is asked for and acknowledged. */
export type LogEntry = { label: string } & (
  | { kind: "write"; inode: number; position: number; data: Buffer }
  | { kind: "truncate"; inode: number; size: number }
  | { kind: "sync"; inode: number }
  | { kind: "entries"; changes: EntryChange[] }
  | { kind: "sync_directory"; directory: number }
  | { kind: "begin" | "end"; change: Change }
);

interface Hold {
  label: string;
  arrive: () => void;
  passed: Promise<void>;
}

type Unstamped = Node extends infer Kind ? (Kind extends Node ? Omit<Kind, "mtime"> : never) : never;

/** A file by what it is for, whatever its name. */
function role_of(path: string): string {
  const name = basename(path);
  const [, ending, aside] =
    /\.(draft\.tmp|draft|draft-lock|tmp|meta\.json|json|journal|lock|ndjson|ndjson\.next)(\.[a-z]+-[^.]*)?$/.exec(
      name.replace(/\.draft\.[0-9a-f]{12}\.tmp$/, ".draft.tmp"),
    ) ?? [];
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

/** A file system in memory that logs what it is asked to change. */
export class RecordingLayer implements FileLayer {
  readonly log: LogEntry[] = [];
  readonly disk: MemoryDisk;
  readonly #last_change = new Map<number, string>();
  #hold: Hold | undefined;

  constructor(disk = new MemoryDisk()) {
    this.disk = disk;
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
    for (let length = -1; length !== this.log.length;) {
      length = this.log.length;
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
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
      if (!label.endsWith("lock")) {
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

  async #sync(entry: LogEntry): Promise<void> {
    await this.#pass(entry.label);
    this.log.push(entry);
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
        await this.#pass(`write ${role}`);
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
      close: async () => this.#pass(`close ${role}`),
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
    await this.#pass(`create ${role_of(path)}`);
    return this.#open_file(this.#make("create", path, { kind: "file", mode, data: Buffer.alloc(0) }), path);
  }

  async stat(path: string): Promise<FileStamp | undefined> {
    try {
      const { inode } = this.disk.find(path);
      return inode === undefined ? undefined : stamp_of(inode, this.disk.node(inode));
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
    await this.#pass(`rename to ${role_of(to)}`);
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
    return this.#sync({ kind: "sync_directory", label: `sync_directory after ${after}`, directory });
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
