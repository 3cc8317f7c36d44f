import { parse_object } from "./corrupt.js";
import type { FileMetadata } from "./snapshot-header.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BEGIN = 0x7b;
const END = 0x7d;

/**
 * The metadata of a file of another writer, from its first bytes, where they come first in it. `undefined`: they do
 * not. `"incomplete"`: more bytes are needed.
 */
export function scan_metadata(bytes: Buffer): FileMetadata | "incomplete" | undefined {
  const opening = /^(?:\u00ef\u00bb\u00bf)?\s*\{\s*"metadata"\s*:\s*(?=\{)/.exec(bytes.toString("latin1", 0, 64));
  if (opening === null) {
    return undefined;
  }
  const begin = opening[0].length;
  const end = object_end(bytes, begin);
  if (end === undefined) {
    return "incomplete";
  }
  return parse_object(bytes.subarray(begin, end));
}

/** Behind the brace that closes the one at `begin`. */
export function object_end(bytes: Buffer, begin: number): number | undefined {
  let depth = 0;
  for (let at = begin; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at += 1;
      while (at < bytes.length && bytes[at] !== QUOTE) {
        at += bytes[at] === BACKSLASH ? 2 : 1;
      }
    } else if (byte === BEGIN) {
      depth += 1;
    } else if (byte === END) {
      depth -= 1;
      if (depth === 0) {
        return at + 1;
      }
    }
  }
  return undefined;
}
