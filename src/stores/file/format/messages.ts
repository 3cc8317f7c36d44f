import type { Message } from "@simulacra-ai/core";
import type { Pause } from "../../../async/time-slicer.js";
import { corrupt, is_object, parse_json, require_text, require_writable } from "./corrupt.js";
import { skip_mark, skip_space } from "./json-scanner.js";

/** Bytes that are parsed at a time: a few milliseconds. */
const BATCH_BYTES = 256 * 1024;
const COMMA = 0x2c;
const NEWLINE = 0x0a;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;

// The texts of messages hold no line breaks, so that a line break always separates two messages.

/**
 * Parses messages of ours, a JSON text a line. With a comma behind each line or without.
 * @throws {SessionError} `corrupt`.
 */
export async function parse_messages(bytes: Buffer, path: string, pause: Pause): Promise<Message[]> {
  const messages: Message[] = [];
  for (let begin = 0; begin < bytes.length;) {
    const end = batch_end(bytes, begin);
    for (const message of parse_batch(bytes.subarray(begin, end), path)) {
      messages.push(message);
    }
    begin = end;
    await pause();
  }
  return messages;
}

/** Returns the end of the last line that ends within one batch, or of the first line where that is longer. */
function batch_end(bytes: Buffer, begin: number): number {
  if (bytes.length - begin <= BATCH_BYTES) {
    return bytes.length;
  }
  const last = bytes.lastIndexOf(NEWLINE, begin + BATCH_BYTES);
  const found = last >= begin ? last : bytes.indexOf(NEWLINE, begin + BATCH_BYTES);
  return found < 0 ? bytes.length : found + 1;
}

/** Holds the batch that is being parsed. All batches share one buffer, because new memory for each takes longer than to copy. */
let batch: Buffer | undefined;

function parse_batch(lines: Buffer, path: string): Message[] {
  let end = lines.length;
  while (end > 0 && (lines[end - 1] === NEWLINE || lines[end - 1] === COMMA)) {
    end -= 1;
  }
  const text = lines.subarray(0, end);
  if (text.indexOf(NEWLINE) < 0) {
    return end > 0 ? [parse_json(text, path) as Message] : []; // brackets might be too much for one string
  }
  batch ??= Buffer.allocUnsafe(BATCH_BYTES + 2);
  const list = batch.subarray(0, end + 2);
  list[0] = OPENING_BRACKET;
  text.copy(list, 1);
  list[end + 1] = CLOSING_BRACKET;
  if (text[text.indexOf(NEWLINE) - 1] !== COMMA) {
    for (let at = list.indexOf(NEWLINE); at >= 0; at = list.indexOf(NEWLINE, at)) {
      list[at] = COMMA;
    }
  }
  return parse_json(list, path) as Message[];
}

/**
 * Parses messages of another writer, a JSON text a line. Empty lines are none.
 * @throws {SessionError} `corrupt`.
 */
export async function parse_foreign_lines(bytes: Buffer, path: string, pause: Pause): Promise<Message[]> {
  const messages: Message[] = [];
  for (let begin = 0; begin < bytes.length;) {
    const found = bytes.indexOf(NEWLINE, begin);
    const end = found < 0 ? bytes.length : found;
    const line = bytes.subarray(begin, end);
    if (skip_space(line, begin === 0 ? skip_mark(line) : 0) < line.length) {
      require_text(line, path);
      messages.push(require_message(parse_json(line, path), messages.length, path));
    }
    begin = end + 1;
    await pause();
  }
  return messages;
}

/** @throws {SessionError} `corrupt` if another writer's message is no object, or is nested too deep to be written again. */
export function require_message(message: unknown, n: number, path: string): Message {
  if (!is_object(message)) {
    throw corrupt(path, `message ${n} is not an object`);
  }
  require_writable(message, path);
  return message as unknown as Message;
}
