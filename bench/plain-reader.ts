import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileSessionFormat } from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";

/** What `read_plainly` needs of a session's files, by format. */
const FILES: Record<FileSessionFormat, { metadata: string; messages: string }> = {
  json: { metadata: ".json", messages: ".json" },
  ndjson: { metadata: ".meta.json", messages: ".ndjson" },
};

/** The name of the file that holds the messages of a session. */
export function message_file(id: string, format: FileSessionFormat): string {
  return id + FILES[format].messages;
}

/** Reads a session at rest as anybody would: `readFile` and `JSON.parse`, nothing checked. Returns its messages. */
export async function read_plainly(directory: string, id: string, format: FileSessionFormat): Promise<Message[]> {
  if (format === "json") {
    const { messages } = (await parse_file(join(directory, `${id}.json`))) as { messages: Message[] };
    return messages;
  }
  await parse_file(join(directory, id + FILES.ndjson.metadata));
  return (await parse_file(join(directory, message_file(id, format)))) as Message[];
}

/** A `.ndjson` file is parsed line by line, any other as a whole. */
export async function parse_file(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8");
  return path.endsWith(".ndjson") ? parse_lines(text) : JSON.parse(text);
}

function parse_lines(text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): unknown => JSON.parse(line));
}
