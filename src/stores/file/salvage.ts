import type { Message } from "@simulacra-ai/core";
import { is_object } from "./corrupt.js";
import type { FileLayer } from "./file-layer.js";
import { object_end, scan_metadata } from "./foreign-head.js";
import { decode_journal, type Journal } from "./journal.js";
import { read_file } from "./regular-file.js";
import type { SessionPaths } from "./session-paths.js";
import { messages_of, patched } from "./session-view.js";
import type { FileMetadata, SnapshotForm } from "./snapshot-form.js";

/** What can still be read of a damaged session. */
export interface Salvage {
  metadata: FileMetadata;
  messages: Message[];
}

/** Reads what is readable of a session's files: the messages up to the first that is not. */
export async function salvage_session(layer: FileLayer, paths: SessionPaths, form: SnapshotForm): Promise<Salvage> {
  const data = (await read_if_possible(layer, form.data_path(paths))) ?? Buffer.alloc(0);
  const head =
    form.data_path(paths) === form.head_path(paths) ? data : await read_if_possible(layer, form.head_path(paths));
  const journal_bytes = await read_if_possible(layer, paths.journal);
  const metadata = salvage_metadata(head ?? Buffer.alloc(0), form);
  const messages = form.format === "json" ? salvage_array(data) : salvage_lines(data);
  const journal = journal_bytes && decode_journal(journal_bytes);
  const records = journal ? following(journal, form, messages) : [];
  return { metadata: patched(metadata, records), messages: messages.concat(messages_of(records)) };
}

/** Links, directories and files too large for memory hold nothing that can be salvaged. */
async function read_if_possible(layer: FileLayer, path: string): Promise<Buffer | undefined> {
  const stamp = await layer.stat(path);
  return stamp?.kind === "file" ? (await read_file(layer, path))?.bytes : undefined;
}

/** The records that go on from the messages salvaged, if all that the journal continues is among these. */
function following(journal: Journal, form: SnapshotForm, messages: Message[]): Journal["records"] {
  const at = journal.records[0]?.at ?? 0;
  const begins_there = messages.length === at;
  const texts = messages.map((message) => JSON.stringify(message));
  return begins_there && form.checksum(texts) === journal.header?.messages ? journal.records : [];
}

function salvage_metadata(bytes: Buffer, form: SnapshotForm): FileMetadata {
  if (form.format === "json") {
    const scanned = scan_metadata(bytes);
    return scanned === undefined || scanned === "incomplete" ? {} : scanned;
  }
  const value = parse_object(bytes.subarray(0, object_end(bytes, bytes.indexOf("{")) ?? 0));
  const { store: _store, ...metadata } = value ?? {};
  return metadata;
}

/** The messages of a JSON file, one by one. */
function salvage_array(bytes: Buffer): Message[] {
  const messages: Message[] = [];
  const opening = /"messages"\s*:\s*\[/.exec(bytes.toString("latin1"));
  let at = opening === null ? bytes.length : opening.index + opening[0].length;
  for (;;) {
    const gap = /^[\s,]*/.exec(bytes.toString("latin1", at, at + 256))?.[0].length ?? 0;
    const end = bytes[at + gap] === 0x7b ? object_end(bytes, at + gap) : undefined;
    const message = end === undefined ? undefined : parse_object(bytes.subarray(at + gap, end));
    if (message === undefined) {
      return messages;
    }
    messages.push(message as unknown as Message);
    at = end as number;
  }
}

/** The messages of a file with a message a line. */
function salvage_lines(bytes: Buffer): Message[] {
  const messages: Message[] = [];
  for (const line of bytes.toString().split("\n")) {
    const message = line.trim() === "" ? undefined : parse_object(Buffer.from(line));
    if (message !== undefined) {
      messages.push(message as unknown as Message);
    } else if (line.trim() !== "") {
      break;
    }
  }
  return messages;
}

function parse_object(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return is_object(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) {
      return undefined;
    }
    throw error;
  }
}
