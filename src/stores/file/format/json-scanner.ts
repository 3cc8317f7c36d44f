import type { Pause } from "../../../async/time-slicer.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

// Finds values in the bytes of a JSON text without parsing the text. The caller parses what is found: that tells whether
// the value is JSON.

/** Returns the end of the object or array that begins at `begin`. Returns `undefined` if the bytes end before. */
export function value_end(bytes: Buffer, begin: number): number | undefined {
  let depth = 0;
  for (let at = begin; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      at += 1;
      while (at < bytes.length && bytes[at] !== QUOTE) {
        at += bytes[at] === BACKSLASH ? 2 : 1;
      }
    } else if (is_opening(byte)) {
      depth += 1;
    } else if (is_closing(byte)) {
      depth -= 1;
      if (depth === 0) {
        return at + 1;
      }
    }
  }
  return undefined;
}

function is_opening(byte: number | undefined): boolean {
  return byte === 0x7b || byte === 0x5b;
}

function is_closing(byte: number | undefined): boolean {
  return byte === 0x7d || byte === 0x5d;
}

/** Returns the position of the first byte that is no white space. */
export function skip_space(bytes: Buffer, begin: number): number {
  let at = begin;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) {
    at += 1;
  }
  return at;
}

/** Returns the position behind a byte order mark, if the bytes begin with one. */
export function skip_mark(bytes: Buffer): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/** Returns the end of any value, such as a string or a number. Returns `undefined` if the bytes end before. */
export function any_end(bytes: Buffer, begin: number): number | undefined {
  if (is_opening(bytes[begin])) {
    return value_end(bytes, begin);
  }
  let at = begin;
  if (bytes[at] === QUOTE) {
    at += 1;
    while (at < bytes.length && bytes[at] !== QUOTE) {
      at += bytes[at] === BACKSLASH ? 2 : 1;
    }
    return at < bytes.length ? at + 1 : undefined;
  }
  while (at < bytes.length && bytes[at] !== COMMA && !is_closing(bytes[at]) && skip_space(bytes, at) === at) {
    at += 1;
  }
  return at > begin ? at : undefined;
}

/**
 * Finds the members of the object, or the items of the array, that begins at `begin`. `take` gets the key's JSON text and
 * the position of a value, and returns the value's end, or `undefined` to stop. Resolves to the end of the whole, and to
 * `undefined` where the bytes are no JSON.
 */
export async function scan_values(
  bytes: Buffer,
  begin: number,
  pause: Pause,
  take: (key: string, at: number) => number | undefined | Promise<number | undefined>,
): Promise<number | undefined> {
  const has_keys = bytes[begin] === 0x7b;
  const closing = has_keys ? 0x7d : 0x5d;
  let at = skip_space(bytes, begin + 1);
  if (!is_opening(bytes[begin])) {
    return undefined;
  }
  if (bytes[at] === closing) {
    return at + 1;
  }
  for (;;) {
    let key = "";
    if (has_keys) {
      const key_end = bytes[at] === QUOTE ? any_end(bytes, at) : undefined;
      const colon = key_end === undefined ? at : skip_space(bytes, key_end);
      if (bytes[colon] !== COLON) {
        return undefined;
      }
      key = bytes.toString("utf8", at, key_end);
      at = skip_space(bytes, colon + 1);
    }
    const end = await take(key, at);
    if (end === undefined) {
      return undefined;
    }
    await pause();
    at = skip_space(bytes, end);
    if (bytes[at] !== COMMA) {
      return bytes[at] === closing ? at + 1 : undefined;
    }
    at = skip_space(bytes, at + 1);
  }
}
