import type { MemoryDisk, Node } from "../crash-states/memory-disk.js";

function file_at(disk: MemoryDisk, path: string): Extract<Node, { kind: "file" }> {
  const node = disk.node_at(path);
  if (node?.kind !== "file") {
    throw new Error(`there is no file ${path}`);
  }
  return node;
}

export function bytes_at(disk: MemoryDisk, path: string): Buffer {
  return file_at(disk, path).data;
}

/** As bits rot: the same file, with the same date. */
export function set_bytes(disk: MemoryDisk, path: string, bytes: Buffer): void {
  file_at(disk, path).data = bytes;
}

export function add_file(disk: MemoryDisk, path: string, bytes: Buffer): void {
  const { directory, name } = disk.find(path);
  const inode = disk.add({ kind: "file", mode: 0o600, data: bytes, mtime: disk.now() });
  disk.directory(directory).entries.set(name, inode);
}

/** The names in a directory. */
export function names_in(disk: MemoryDisk, path: string): string[] {
  const node = disk.node_at(path);
  return node?.kind === "directory" ? [...node.entries.keys()] : [];
}
