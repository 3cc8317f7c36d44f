import { createHash } from "node:crypto";
import type { MemoryDisk } from "../memory-disk.js";
import { ROOT_INODE } from "../memory-disk.js";
import type { Call } from "./history.js";
import type { World } from "./run-order.js";

/**
 * All that is judged, in few bytes: what was answered and is on the disk, and which answer came before which question.
 * When a file was changed, and its number, say nothing; that two names are one file does.
 */
export function found_in({ calls, disk, start }: World): { state: string; precedence: string } {
  const hash = createHash("sha1");
  const sorted = calls.map((call, at) => ({ call, at })).sort((a, b) => a.call.actor - b.call.actor || a.at - b.at);
  const asked = sorted.map(({ call: { actor, id, asked, answer } }) => [actor, id, asked, answer]);
  hash.update(JSON.stringify([[...start], asked]));
  describe(disk.disk, ROOT_INODE, new Map(), (part) => hash.update(part));
  const precedence = sorted.map(({ call }) =>
    sorted.map(({ call: other }) => (is_before(other, call) ? 1 : 0)).join(""),
  );
  return { state: hash.digest("base64"), precedence: precedence.join() };
}

function is_before(one: Call, other: Call): boolean {
  return one.ended !== undefined && one.ended < other.began;
}

function describe(
  disk: MemoryDisk,
  inode: number,
  known: Map<number, number>,
  write: (part: string | Buffer) => void,
): void {
  const before = known.get(inode);
  if (before !== undefined) {
    write(`again ${before}\n`);
    return;
  }
  known.set(inode, known.size);
  const node = disk.node(inode);
  switch (node.kind) {
    case "link":
      write(`link ${node.target}\n`);
      return;
    case "file":
      write(`file ${node.mode} ${node.data.length}\n`);
      write(node.data);
      return;
    case "directory":
      write(`directory ${node.mode} ${node.entries.size}\n`);
      for (const name of [...node.entries.keys()].sort()) {
        write(`${name}\n`);
        describe(disk, node.entries.get(name) ?? 0, known, write);
      }
  }
}
