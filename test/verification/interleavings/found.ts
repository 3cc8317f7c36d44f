import { createHash } from "node:crypto";
import { ROOT_INODE, type MemoryDisk } from "../crash-states/memory-disk.js";
import type { Bytes } from "./bytes.js";
import type { Call, Session } from "./history.js";

interface Ended {
  calls: readonly Call[];
  disk: MemoryDisk;
  bytes: Bytes;
  start: ReadonlyMap<string, Session>;
}

/**
 * All that is judged, in few bytes: what was answered and is on the disk; and, behind a space, which answer came before
 * which question. When a file was changed, and its number, say nothing; that two names are one file does.
 */
export function found_in({ calls, disk, bytes, start }: Ended): string {
  const sorted = calls.map((call, at) => ({ call, at })).sort((a, b) => a.call.actor - b.call.actor || a.at - b.at);
  const parts = [JSON.stringify([...start])];
  for (const { call } of sorted) {
    parts.push(`${call.actor} ${call.id} ${text_of(call.asked)} ${text_of(call.answer)}`);
  }
  describe(disk, ROOT_INODE, { known: new Map(), parts, bytes });
  const state = createHash("sha1").update(parts.join("\n")).digest("base64");
  const precedence = sorted.map(({ call }) =>
    sorted.map(({ call: other }) => (is_before(other, call) ? 1 : 0)).join(""),
  );
  return `${state} ${precedence.join()}`;
}

const TEXTS = new WeakMap<object, string>();

/** Questions and answers do not change any more. */
function text_of(said: object | undefined): string {
  if (said === undefined) {
    return "nothing";
  }
  const text = TEXTS.get(said) ?? JSON.stringify(said);
  TEXTS.set(said, text);
  return text;
}

function is_before(one: Call, other: Call): boolean {
  return one.ended !== undefined && one.ended < other.began;
}

function describe(
  disk: MemoryDisk,
  inode: number,
  found: { known: Map<number, number>; parts: string[]; bytes: Bytes },
): void {
  const { known, parts, bytes } = found;
  const before = known.get(inode);
  if (before !== undefined) {
    parts.push(`again ${before}`);
    return;
  }
  known.set(inode, known.size);
  const node = disk.node(inode);
  switch (node.kind) {
    case "link":
      parts.push(`link ${node.target}`);
      return;
    case "file":
      parts.push(`file ${node.mode} ${bytes.digest_of(node.data)}`);
      return;
    case "directory":
      parts.push(`directory ${node.mode} ${node.entries.size}`);
      for (const name of [...node.entries.keys()].sort()) {
        parts.push(name);
        describe(disk, node.entries.get(name) ?? 0, found);
      }
  }
}
