/** An entry of the file system; what names it is elsewhere. */
export type Node =
  | { kind: "file"; mode: number; data: Buffer; mtime: bigint }
  | { kind: "directory"; mode: number; entries: Map<string, number>; mtime: bigint }
  | { kind: "link"; target: string; mtime: bigint };

export const ROOT_INODE = 1;

/** A file system in memory: numbered nodes, of which the first is the root. */
export class MemoryDisk {
  readonly nodes = new Map<number, Node>();
  #clock = BigInt(Date.parse("2024-01-01T00:00:00Z")) * 1_000_000n;
  #next = ROOT_INODE;

  constructor() {
    this.add({ kind: "directory", mode: 0o755, entries: new Map(), mtime: this.now() });
  }

  /** Strictly later at every call. */
  now(): bigint {
    this.#clock += 1_000_000n;
    return this.#clock;
  }

  add(node: Node): number {
    const inode = this.#next;
    this.#next += 1;
    this.nodes.set(inode, node);
    return inode;
  }

  /** Puts a node at a number of the caller's. */
  put(inode: number, node: Node): void {
    this.nodes.set(inode, node);
    this.#next = Math.max(this.#next, inode + 1);
    if (node.mtime > this.#clock) {
      this.#clock = node.mtime;
    }
  }

  /** The same file system, apart from this one. Bytes are shared: they are replaced, never changed. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk();
    for (const [inode, node] of this.nodes) {
      copy.put(inode, node.kind === "directory" ? { ...node, entries: new Map(node.entries) } : { ...node });
    }
    return copy;
  }

  /** What is at a path; `undefined`: nothing. */
  node_at(path: string): Node | undefined {
    const { inode } = this.find(path);
    return inode === undefined ? undefined : this.node(inode);
  }

  node(inode: number): Node {
    const node = this.nodes.get(inode);
    if (node === undefined) {
      throw new Error(`there is no inode ${inode}`);
    }
    return node;
  }

  directory(inode: number): Extract<Node, { kind: "directory" }> {
    const node = this.node(inode);
    if (node.kind !== "directory") {
      throw errno("ENOTDIR");
    }
    return node;
  }

  /** Where a path leads: the directory it ends in, the name there, and the inode of that name. */
  find(path: string, depth = 0): { directory: number; name: string; inode: number | undefined } {
    const names = path.split("/").filter((name) => name !== "");
    const name = names.pop() ?? "";
    let directory = ROOT_INODE;
    for (const [position, step] of names.entries()) {
      const inode = this.directory(directory).entries.get(step);
      if (inode === undefined) {
        throw errno("ENOENT", path);
      }
      const node = this.node(inode);
      if (node.kind === "link") {
        if (depth > 8) {
          throw errno("ELOOP", path);
        }
        return this.find([node.target, ...names.slice(position + 1), name].join("/"), depth + 1);
      }
      directory = inode;
    }
    const inode = name === "" ? ROOT_INODE : this.directory(directory).entries.get(name);
    return { directory, name, inode };
  }
}

/** Without a stack: where a crash is one of a hundred thousand, collecting those is a tenth of the time. */
export function errno(code: string, path?: string): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = Object.assign(new Error(`${code}: ${path ?? ""}`), { code, ...(path !== undefined && { path }) });
  Error.stackTraceLimit = limit;
  return error;
}
