import type { Message } from "@simulacra-ai/core";
import { pauses, type Pause } from "../../../async/time-slicer.js";
import { ignore } from "../../../errors.js";
import { sum_of_messages } from "../format/checksum.js";
import { parse_object } from "../format/corrupt.js";
import { messages_of, patched, type Journal, type JournalEntry } from "../format/journal.js";
import { skip_mark, value_end } from "../format/json-scanner.js";
import { salvage_metadata } from "../format/salvage-metadata.js";
import type { FileMetadata, Succession } from "../format/snapshot-header.js";
import type { FileLayer } from "../fs/file-layer.js";
import { read_file } from "../fs/regular-file.js";
import { read_journal } from "../journal-reader.js";
import type { SessionPaths } from "../session-paths.js";
import type { SnapshotForm } from "../snapshots/snapshot-form.js";

/** The readable part of a damaged session. */
export interface Salvage {
  metadata: FileMetadata;
  messages: Message[];
  /** The note with which a new snapshot says that the journal beside it is done with. */
  succession: Pick<Succession, "previous" | "folded"> | undefined;
}

/** Reads what is readable of a session's files: the messages up to the first that is not. */
export async function salvage_session(layer: FileLayer, paths: SessionPaths, form: SnapshotForm): Promise<Salvage> {
  const pause = pauses();
  // Links, directories and files too large for memory hold nothing that can be salvaged.
  const read = async (ending: string) => (await read_file(layer, paths.file(ending)).catch(ignore("corrupt")))?.bytes;
  const data = (await read(form.data_ending)) ?? Buffer.alloc(0);
  const head = form.data_ending === form.head_ending ? data : ((await read(form.head_ending)) ?? Buffer.alloc(0));
  const metadata = await salvage_metadata(head, form.format, pause);
  const messages = await (form.format === "json" ? salvage_array(data, pause) : salvage_lines(data, pause));
  const { journal } = (await read_journal(layer, paths.journal, "messages").catch(ignore("corrupt"))) ?? {};
  const records = journal ? await records_behind(journal, head, form, messages, pause) : [];
  return {
    metadata: patched(metadata, records),
    messages: messages.concat(messages_of(records)),
    succession: journal && succession_of(journal),
  };
}

/** The whole records that go on from the messages salvaged, wherever they stand, up to the first that is missing. */
async function records_behind(
  { header, records, damage }: Journal,
  head: Buffer,
  form: SnapshotForm,
  messages: Message[],
  pause: Pause,
): Promise<JournalEntry[]> {
  const sum = await sum_of_messages(messages, form.separator, pause);
  const is_first = ({ at, base, n }: JournalEntry) =>
    at === messages.length &&
    (n > folded_of(head, base) || (header !== undefined && base === header.base && sum === header.messages));
  const all = [...records, ...(damage?.records ?? [])];
  const followers = new Map(all.map((record) => [record.prev, record] as const).reverse()); // of several, the first
  const found: JournalEntry[] = [];
  for (let next = all.find(is_first); next; next = followers.get(next.sum)) {
    found.push(next);
  }
  return found;
}

/** `undefined`: not a line of the journal is whole. */
function succession_of({ header, records, damage }: Journal): Salvage["succession"] {
  const all = [...records, ...(damage?.records ?? [])];
  const previous = header?.base ?? all.find(({ base }) => typeof base === "string")?.base;
  const folded = all.reduce((last, { n }) => (Number.isSafeInteger(n) && n > last ? n : last), 0);
  return previous === undefined ? undefined : { previous, folded };
}

/** How many records of the journal of a snapshot this one has taken in; of its own none, of any other all. */
function folded_of(head: Buffer, base: string): number {
  const store = store_in(head);
  if (store) {
    return store["generation"] === base ? 0 : store["previous"] === base ? Number(store["folded"]) : Infinity;
  }
  if (head.includes(`"generation":"${base}"`)) {
    return 0;
  }
  const mark = `"previous":"${base}","folded":`;
  const at = head.indexOf(mark);
  return at < 0 ? Infinity : parseInt(head.toString("latin1", at + mark.length, at + mark.length + 15), 10);
}

/** Finds the store's header, whatever its place and the order of its keys. */
function store_in(bytes: Buffer): Record<string, unknown> | undefined {
  for (let at = bytes.lastIndexOf(STORE); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(STORE, at - 1)) {
    const [before] = /^\s*:\s*(?=\{)/.exec(bytes.toString("latin1", at + STORE.length, at + STORE.length + 64)) ?? [];
    const begin = at + STORE.length + (before?.length ?? 0);
    const end = before === undefined ? undefined : value_end(bytes, begin);
    const value = end === undefined ? undefined : parse_object(bytes.subarray(begin, end));
    if (value && "generation" in value) {
      return value;
    }
  }
  return undefined;
}

const STORE = '"store"';

/** The messages of a JSON file. Those in the metadata are not its own. */
function salvage_array(bytes: Buffer, pause: Pause): Promise<Message[]> {
  const metadata_begin = bytes.indexOf("{", bytes.indexOf('"metadata"') + 1);
  const is_first = /^[^"]*"metadata"/.test(bytes.toString("latin1", 0, 64));
  const from = is_first ? (value_end(bytes, metadata_begin) ?? 0) : 0;
  const opening = /"messages"\s*:\s*\[/.exec(bytes.toString("latin1", from, from + 1024 * 1024));
  return salvage_objects(
    bytes,
    opening === null ? line_begin(bytes, MESSAGES_LINE) : from + opening.index + opening[0].length,
    pause,
  );
}

/** In a file of ours the messages begin with this line. */
const MESSAGES_LINE = 4;

function line_begin(bytes: Buffer, line: number): number {
  let begin = 0;
  for (let n = 0; n < line; n += 1) {
    begin = bytes.indexOf(0x0a, begin) + 1;
    if (begin === 0) {
      return bytes.length;
    }
  }
  return begin;
}

/** Objects one behind the other, up to the first that is none. */
async function salvage_objects(bytes: Buffer, begin: number, pause: Pause): Promise<Message[]> {
  const messages: Message[] = [];
  for (let at = begin; ;) {
    while (is_gap(bytes[at])) {
      at += 1;
    }
    const end = bytes[at] === 0x7b ? value_end(bytes, at) : undefined;
    const message = end === undefined ? undefined : parse_object(bytes.subarray(at, end));
    if (end === undefined || !message) {
      return messages;
    }
    messages.push(message as unknown as Message);
    at = end;
    await pause();
  }
}

/** White space and commas. */
function is_gap(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09 || byte === 0x2c;
}

/** The messages of a file with a message a line. */
function salvage_lines(bytes: Buffer, pause: Pause): Promise<Message[]> {
  return salvage_objects(bytes, skip_mark(bytes), pause);
}
