/** An entry of the file system; what names it is elsewhere. */
export type Node =
  | { kind: "file"; mode: number; data: Buffer; mtime: bigint }
  | { kind: "directory"; mode: number; entries: Map<string, number>; mtime: bigint }
  | { kind: "link"; target: string; mtime: bigint };

export const ROOT_INODE = 1;

/** Numbers and times that were given out, to one of those who use a disk. */
interface Given {
  inode: number;
  clock: bigint;
}

const BEGINNING = BigInt(Date.parse("2024-01-01T00:00:00Z")) * 1_000_000n;
const MILLISECOND = 1_000_000n;
/** Of numbers, and of milliseconds: more than anybody uses. */
const TURN_SIZE = 1_000_000;

/** A file system in memory: numbered nodes, of which the first is the root. */
export class MemoryDisk {
  readonly nodes = new Map<number, Node>();
  readonly #turn: () => number;
  readonly #given = new Map<number, Given>();

  /**
   * `turn`: where several use a disk, whose turn it is. Each has numbers and times of its own, so that they follow from
   * what it did, whatever others did in between.
   */
  constructor(turn: () => number = () => 0) {
    this.#turn = turn;
    this.nodes.set(ROOT_INODE, { kind: "directory", mode: 0o755, entries: new Map(), mtime: this.now() });
  }

  get #own(): Given {
    const turn = this.#turn();
    let given = this.#given.get(turn);
    if (given === undefined) {
      const before = turn * TURN_SIZE;
      given = { inode: ROOT_INODE + before, clock: BEGINNING + BigInt(before) * MILLISECOND };
      this.#given.set(turn, given);
    }
    return given;
  }

  /** Another one at every call; later than all before in the same turn. */
  now(): bigint {
    return (this.#own.clock += MILLISECOND);
  }

  add(node: Node): number {
    const inode = (this.#own.inode += 1);
    this.nodes.set(inode, node);
    return inode;
  }

  /** Puts a node at a number of the caller's. */
  put(inode: number, node: Node): void {
    const own = this.#own;
    this.nodes.set(inode, node);
    own.inode = Math.max(own.inode, inode);
    if (node.mtime > own.clock) {
      own.clock = node.mtime;
    }
  }

  /** The same file system, apart from this one. Bytes are shared: they are replaced, never changed. */
  copy(copy = new MemoryDisk()): MemoryDisk {
    for (const [inode, node] of this.nodes) {
      copy.nodes.set(inode, node.kind === "directory" ? { ...node, entries: new Map(node.entries) } : { ...node });
    }
    copy.#given.clear();
    for (const [turn, given] of this.#given) {
      copy.#given.set(turn, { ...given });
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
    const { names, name } = parts_of(path);
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

interface Parts {
  names: readonly string[];
  name: string;
}

const PARTS = new Map<string, Parts>();

/** The same few paths are looked up millions of times. */
function parts_of(path: string): Parts {
  let parts = PARTS.get(path);
  if (parts === undefined) {
    const names = path.split("/").filter((name) => name !== "");
    parts = { name: names.pop() ?? "", names };
    if (PARTS.size > 10_000) {
      PARTS.clear();
    }
    PARTS.set(path, parts);
  }
  return parts;
}

/** Without a stack: where a crash is one of a hundred thousand, collecting those is a tenth of the time. */
export function errno(code: string, path?: string): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = Object.assign(new Error(`${code}: ${path ?? ""}`), { code, ...(path !== undefined && { path }) });
  Error.stackTraceLimit = limit;
  return error;
}
