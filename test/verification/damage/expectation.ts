import type { Message } from "@simulacra-ai/core";
import type { Damage } from "./damages.js";
import { bytes_at } from "./disks.js";
import { DATA, JOURNAL, type Sample, type State } from "./sample.js";

/**
 * What may come of damage. A journal is cut back to its last record before the damage only where nothing that was
 * synced later shows that there was more: that is what a torn write looks like, and a last record that was damaged
 * cannot be told from it. Everything else is an error, or harms nothing.
 */
export interface Expectation {
  /** What a reader may find; with none it has to say `corrupt`. */
  readable: State | undefined;
  /** Whether it may say `corrupt`. */
  may_be_corrupt: boolean;
  /** The messages that have to be there after a repair; those behind them may be. */
  kept: Message[];
  /** Where the session can be read although records are gone that were acknowledged. */
  is_cut_back: boolean;
}

export function expectation_of(sample: Sample, damage: Damage): Expectation {
  return damage.path === JOURNAL ? of_journal(sample, damage) : of_snapshot(sample, damage);
}

function of_journal({ records, states, folded }: Sample, { bytes }: Damage): Expectation {
  const all = states.at(-1);
  if (folded > 0 && records.length === folded + 1) {
    return { readable: all, may_be_corrupt: true, kept: all?.messages ?? [], is_cut_back: false }; // the snapshot has it
  }
  let whole = 0;
  let end = 0;
  for (const record of records) {
    if (!bytes.subarray(end, end + record.length).equals(record)) {
      break;
    }
    whole += 1;
    end += record.length;
  }
  const state = states[Math.max(0, whole - 1 - folded)];
  const is_followed = records.slice(1 + folded).some((record) => bytes.indexOf(record, end) >= 0);
  const is_beside = is_followed && records.slice(1 + folded).every((record) => bytes.indexOf(record) >= 0);
  const original = Buffer.concat(records);
  const is_cut = original.subarray(0, bytes.length).equals(bytes);
  return {
    readable: is_followed ? undefined : state,
    may_be_corrupt: !is_cut,
    kept: (is_beside && whole <= folded ? all : state)?.messages ?? [],
    is_cut_back: !is_followed && whole < records.length,
  };
}

function of_snapshot(sample: Sample, { path, bytes }: Damage): Expectation {
  const readable = sample.states.at(-1);
  const original = bytes_at(sample.disk, path);
  const first = first_difference(original, bytes);
  const base = sample.states[0]?.messages ?? [];
  const ends = path === DATA[sample.format] ? ends_of(original, base) : [];
  const kept = base.slice(0, ends.filter((end) => end <= first).length);
  // A cut behind all that counts is none: of ndjson the last line feed.
  return { readable, may_be_corrupt: true, kept, is_cut_back: false };
}

export function first_difference(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    if (a[at] !== b[at]) {
      return at;
    }
  }
  return length;
}

/** Where each message ends in its file. */
export function ends_of(bytes: Buffer, messages: Message[]): number[] {
  let from = 0;
  return messages.map((message) => {
    const text = JSON.stringify(message);
    const at = bytes.indexOf(text, from);
    if (at < 0) {
      throw new Error(`${text} is not in the file`);
    }
    from = at + Buffer.byteLength(text);
    return from;
  });
}
