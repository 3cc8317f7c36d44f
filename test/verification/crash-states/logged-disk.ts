import { basename, dirname } from "node:path";
import type { FileStamp } from "../../../src/stores/file/fs/file-layer.js";
import type { MemoryDisk } from "./memory-disk.js";
import { errno, ROOT_INODE, type Node } from "./memory-disk.js";

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

type Unstamped = Node extends infer Kind ? (Kind extends Node ? Omit<Kind, "mtime"> : never) : never;

/** A file by what it is for, whatever its name. */
export function role_of(path: string): string {
  const name = basename(path);
  const [, ending, aside] =
    /\.(draft\.tmp|draft|draft-lock|tmp|meta\.json|json|journal|lock|ndjson|ndjson\.next)(\.[a-z]+-[^.]*)?$/.exec(
      name.replace(/\.[0-9a-f]{12}\.draft\.tmp$/, ".draft.tmp"),
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

/** How bytes of a file become others. */
export interface Contents {
  resized(data: Buffer, size: number): Buffer;
  written(data: Buffer, position: number, added: Buffer): Buffer;
}

/** A file system in memory, one operation after another, that logs what it is asked to change. */
export class LoggedDisk {
  readonly log: LogEntry[] = [];
  readonly disk: MemoryDisk;
  readonly #contents: Contents;
  readonly #is_logged: boolean;
  readonly #last_change = new Map<number, string>();

  constructor(
    disk: MemoryDisk,
    { contents = COPIES, is_logged = true }: { contents?: Contents; is_logged?: boolean } = {},
  ) {
    this.disk = disk;
    this.#contents = contents;
    this.#is_logged = is_logged;
  }

  #existing(path: string): { inode: number; node: Node } {
    const { inode } = this.disk.find(path);
    if (inode === undefined) {
      throw errno("ENOENT", path);
    }
    return { inode, node: this.disk.node(inode) };
  }

  #note(entry: () => LogEntry): void {
    if (this.#is_logged) {
      this.log.push(entry());
    }
  }

  #change(verb: string, path: string, changes: EntryChange[]): void {
    const label = this.#is_logged ? `${verb} ${role_of(path)}` : "";
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
    this.#note(() => ({ kind: "entries", label, changes }));
  }

  #make(verb: string, path: string, node: Unstamped): number {
    const { directory, name, inode } = this.disk.find(path);
    if (inode !== undefined) {
      throw errno("EEXIST", path);
    }
    const made = this.disk.add({ ...node, mtime: this.disk.now() });
    this.#change(verb, path, [{ directory, name, inode: made }]);
    return made;
  }

  #file(inode: number): Extract<Node, { kind: "file" }> {
    const node = this.disk.node(inode);
    if (node.kind !== "file") {
      throw errno("EISDIR");
    }
    return node;
  }

  /** What another program does in one step: a new file under this name, synced. */
  place(path: string, data: Buffer): void {
    const { directory, name } = this.disk.find(path);
    const inode = this.disk.add({ kind: "file", mode: 0o600, data, mtime: this.disk.now() });
    const label = `place ${role_of(path)}`;
    this.log.push({ kind: "write", label, inode, position: 0, data }, { kind: "sync", label, inode });
    this.#change("place", path, [{ directory, name, inode }]);
    this.log.push({ kind: "sync_directory", label, directory });
  }

  data_of(inode: number): Buffer {
    return this.#file(inode).data;
  }

  stamp_of(inode: number): FileStamp {
    return stamp_of(inode, this.disk.node(inode));
  }

  /** `path`: what the file was opened as. */
  write(inode: number, path: string, data: Buffer, position: number): void {
    const node = this.#file(inode);
    this.#note(() => ({ kind: "write", label: `write ${role_of(path)}`, inode, position, data }));
    node.data = this.#contents.written(node.data, position, data);
    node.mtime = this.disk.now();
  }

  truncate(inode: number, path: string, size: number): void {
    const node = this.#file(inode);
    this.#note(() => ({ kind: "truncate", label: `truncate ${role_of(path)}`, inode, size }));
    node.data = this.#contents.resized(node.data, size);
    node.mtime = this.disk.now();
  }

  sync(inode: number, path: string, verb: "sync" | "datasync"): void {
    this.#note(() => ({ kind: "sync", label: `${verb} ${role_of(path)}`, inode }));
  }

  open(path: string): number {
    const { inode, node } = this.#existing(path);
    if (node.kind === "link") {
      throw errno("ELOOP", path);
    }
    return inode;
  }

  create(path: string, mode: number): number {
    return this.#make("create", path, { kind: "file", mode, data: NO_BYTES });
  }

  stat(path: string): FileStamp | undefined {
    const inode = this.inode_of(path);
    return inode === undefined ? undefined : this.stamp_of(inode);
  }

  /** `undefined`: there is nothing. */
  inode_of(path: string): number | undefined {
    try {
      return this.disk.find(path).inode;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        return undefined;
      }
      throw error;
    }
  }

  names(directory: string): string[] {
    return [...this.disk.directory(this.#existing(directory).inode).entries.keys()];
  }

  make_directory(path: string, mode: number): void {
    this.#make("make", path, { kind: "directory", mode, entries: new Map() });
  }

  remove_directory(path: string): void {
    const { inode } = this.#existing(path);
    if (this.disk.directory(inode).entries.size > 0) {
      throw errno("ENOTEMPTY", path);
    }
    const { directory, name } = this.disk.find(path);
    this.#change("remove", path, [{ directory, name, inode: undefined }]);
  }

  rename(from: string, to: string): void {
    const { inode } = this.#existing(from);
    const [source, target] = [this.disk.find(from), this.disk.find(to)];
    if (target.inode === inode) {
      return; // as POSIX has it: both names stay
    }
    this.#change("rename to", to, [
      { directory: source.directory, name: source.name, inode: undefined },
      { directory: target.directory, name: target.name, inode },
    ]);
  }

  link(existing: string, path: string): void {
    const { inode } = this.#existing(existing);
    const { directory, name, inode: taken } = this.disk.find(path);
    if (taken !== undefined) {
      throw errno("EEXIST", path);
    }
    this.#change("link", path, [{ directory, name, inode }]);
  }

  unlink(path: string): void {
    this.#existing(path);
    const { directory, name } = this.disk.find(path);
    this.#change("unlink", path, [{ directory, name, inode: undefined }]);
  }

  symlink(target: string, path: string): void {
    this.#make("link", path, { kind: "link", target });
  }

  readlink(path: string): string {
    const { node } = this.#existing(path);
    if (node.kind !== "link") {
      throw errno("EINVAL", path);
    }
    return node.target;
  }

  sync_directory(path: string): void {
    const entry = this.directory_sync(path);
    this.#note(() => entry);
  }

  directory_sync(path: string): LogEntry {
    const directory = path === "/" ? ROOT_INODE : this.#existing(path).inode;
    const after = this.#last_change.get(directory) ?? "nothing";
    return { kind: "sync_directory", label: `sync_directory after ${after}`, directory };
  }
}

const NO_BYTES = Buffer.alloc(0);

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

const COPIES: Contents = { resized, written };
