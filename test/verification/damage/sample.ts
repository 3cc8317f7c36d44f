import type { SessionMetadata } from "@simulacra-ai/session";
import type { Message } from "@simulacra-ai/core";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { loaded, message } from "../../stores/helpers.js";
import type { MemoryDisk } from "../crash-states/memory-disk.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import { add_file, bytes_at } from "./disks.js";

export const ROOT = "/sessions";
export const JOURNAL = `${ROOT}/s.journal`;

/** A session as it was when a write of it was acknowledged. */
export interface State {
  metadata: SessionMetadata;
  messages: Message[];
}

/** A directory with the session `s`, which is going to be damaged, and others, which are not. */
export interface Sample {
  name: string;
  format: FileSessionFormat;
  disk: MemoryDisk;
  /** Of `s`: what its snapshot says, and after each record of its journal. */
  states: State[];
  /** The records of its journal, the header first; none where it is at rest. */
  records: Buffer[];
  /** How many of them, behind the header, are in the snapshot already. */
  folded: number;
  /** What `list` says of the others. */
  others: SessionMetadata[];
  /** A journal that goes on from the same snapshot, as where an older copy of the files was put back. */
  twin: { records: Buffer[]; states: State[] };
}

const NO_TWIN = { records: [], states: [] };

/** The file with the head of `s`, and the one with its messages. */
export const HEAD = { json: `${ROOT}/s.json`, ndjson: `${ROOT}/s.meta.json` } as const;
export const DATA = { json: `${ROOT}/s.json`, ndjson: `${ROOT}/s.ndjson` } as const;

export function open_store(disk: MemoryDisk, format: FileSessionFormat) {
  const layer = new RecordingLayer(disk);
  return { layer, store: new FileSessionStore(ROOT, { format }, layer) };
}

async function state_of(store: FileSessionStore): Promise<State> {
  const { metadata, messages } = await loaded(store);
  return { metadata, messages };
}

async function append(store: FileSessionStore, texts: string[], metadata = {}, id = "s"): Promise<void> {
  const { revision } = await loaded(store, id);
  await store.append(
    id,
    texts.map((text) => message(text)),
    { revision, metadata },
  );
}

/** The records of a journal, as they stand in it. */
export function records_of(journal: Buffer): Buffer[] {
  const ends = [...journal.toString("latin1").matchAll(/^#.*\n/gm)].map((match) => match.index + match[0].length);
  return ends.map((end, n) => journal.subarray(ends[n - 1] ?? 0, end));
}

/** Texts of every kind; `pad` makes them long enough for whole blocks to be lost. */
function texts(pad: number): string[] {
  const all = ["one", "two # {", "three\n#0123456789abcdef 5 {}", 'four "}]', "fünf \u{1f600}", "six"];
  return all.map((text) => text.padEnd(pad, " ."));
}

async function twin_of(at_snapshot: MemoryDisk, format: FileSessionFormat, count: number): Promise<Sample["twin"]> {
  const { store, layer } = open_store(at_snapshot, format);
  const states: State[] = [];
  for (let n = 0; n < count; n += 1) {
    await append(store, [`twin ${n}`, `twin ${n} too`], { model: "twin" });
    states.push(await state_of(store));
  }
  return { records: records_of(bytes_at(layer.disk, JOURNAL)), states };
}

/** A session with a journal of `rounds` times three records. */
export async function sample_with_journal(format: FileSessionFormat, pad = 0, rounds = 1): Promise<Sample> {
  const { layer, store } = open_store(new RecordingLayer().disk, format);
  await store.save("other", [message("fine")], { label: "fine" });
  await append(store, ["fine too"], {}, "other");
  await store.save("fork", [message("fork")], { parent_id: "s", fork_message_id: "id of one" });
  const [one = "", two = "", three = "", four = "", five = "", six = ""] = texts(pad);
  await store.save("s", [message(one), message(two)], { label: "L", parent_id: "other", custom: { a: "}" } });
  const states = [await state_of(store)];
  const twin = await twin_of(layer.disk.copy(), format, 3);
  const steps = [
    () => append(store, [three, four], { model: "M" }),
    () => store.update("s", { label: null, custom: { long: "x".repeat(100) } } as unknown as Partial<SessionMetadata>),
    () => append(store, [five, six]),
  ];
  for (const step of Array.from({ length: rounds }, () => steps).flat()) {
    await step();
    states.push(await state_of(store));
  }
  const others = (await store.list()).filter(({ id }) => id !== "s");
  const records = records_of(bytes_at(layer.disk, JOURNAL));
  return { name: "journal", format, disk: layer.disk, states, records, folded: 0, others, twin };
}

/** The same at rest: all is in the snapshot. */
export async function sample_at_rest(format: FileSessionFormat, pad = 0, rounds = 1): Promise<Sample> {
  const { disk, others } = await sample_with_journal(format, pad, rounds);
  const { store } = open_store(disk, format);
  await store.flush("s");
  const states = [await state_of(store)];
  return { name: "at rest", format, disk, states, records: [], folded: 0, others, twin: NO_TWIN };
}

/** At rest, with the journal beside it that a fold was killed before it could remove. */
export async function sample_with_spent_journal(format: FileSessionFormat): Promise<Sample> {
  const before = await sample_with_journal(format);
  const disk = before.disk.copy();
  const { store } = open_store(disk, format);
  await store.flush("s");
  add_file(disk, JOURNAL, bytes_at(before.disk, JOURNAL));
  return { ...before, name: "spent journal", disk, states: [await state_of(store)], folded: before.records.length - 1 };
}

/** A snapshot that a fold has put in its place, beside the journal as it had grown meanwhile: the new one is yet to come. */
export async function sample_with_half_folded_journal(format: FileSessionFormat): Promise<Sample> {
  const before = await sample_with_journal(format);
  const disk = before.disk.copy();
  await open_store(disk, format).store.flush("s");
  const { store, layer } = open_store(before.disk.copy(), format);
  const states = before.states.slice(-1);
  for (const step of [
    () => append(store, ["seven", "eight # {"], { model: "N" }),
    () => store.update("s", { custom: { half: true } }),
    () => append(store, ["nine"]),
  ]) {
    await step();
    states.push(await state_of(store));
  }
  add_file(disk, JOURNAL, bytes_at(layer.disk, JOURNAL));
  const records = records_of(bytes_at(disk, JOURNAL));
  return { ...before, name: "half-folded journal", disk, states, records, folded: before.records.length - 1 };
}
