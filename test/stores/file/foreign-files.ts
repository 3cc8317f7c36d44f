import fs from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Message } from "@simulacra-ai/core";
import { message } from "../helpers.js";
import { DATA, HEAD, type Format } from "./damaged/files.js";

const pretty = (value: unknown) => JSON.stringify(value, null, 2);

/** Returns what the published package reads of a session's files. */
export function read_published(
  format: Format,
  root: string,
): { metadata: Record<string, unknown>; messages: Message[] } {
  const head: unknown = JSON.parse(fs.readFileSync(join(root, HEAD[format]), "utf8"));
  if (format === "json") {
    return head as ReturnType<typeof read_published>;
  }
  const lines = fs.readFileSync(join(root, DATA[format]), "utf8").split("\n").filter(Boolean);
  return {
    metadata: head as Record<string, unknown>,
    messages: lines.map((line) => JSON.parse(line) as Message),
  };
}

/** Writes lines as the published package does: behind those that are there, where these are the first of them. */
export function write_lines(root: string, messages: readonly Message[], known: readonly Message[]): void {
  const path = join(root, DATA.ndjson);
  const lines = (some: readonly Message[]) => some.map((one) => `${JSON.stringify(one)}\n`).join("");
  if (isDeepStrictEqual(messages.slice(0, known.length), known)) {
    fs.appendFileSync(path, lines(messages.slice(known.length)));
  } else {
    fs.writeFileSync(path, lines(messages));
  }
}

/** Writes `s.meta.json` as the published package does: in place, with all keys that it has read. */
export function write_metadata(root: string, metadata: object): void {
  fs.writeFileSync(join(root, HEAD.ndjson), pretty(metadata));
}

/** Rewrites the session `s` in place, as the published package does. */
export function rewrite(format: Format, root: string, texts: string[], changes: object = {}): void {
  const { metadata, messages: known } = read_published(format, root);
  const all = { ...metadata, ...changes, message_count: texts.length };
  const messages = texts.map((text) => message(text));
  if (format === "json") {
    fs.writeFileSync(join(root, HEAD.json), pretty({ metadata: all, messages }));
  } else {
    write_lines(root, messages, known);
    write_metadata(root, all);
  }
}
