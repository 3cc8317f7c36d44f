import { seeded_random } from "../../support/random.js";
import { bytes_at } from "./disks.js";
import { JOURNAL, type Sample } from "./sample.js";

/** One file after its damage. */
export interface Damage {
  what: string;
  path: string;
  bytes: Buffer;
}

/** Damages are made when they are looked at: all of them together take gigabytes. */
export type Damages = Generator<() => Damage>;

/** Which of many are taken: every nth, from a place that the seed decides. */
export interface Choice {
  every: number;
  seed: number;
}

function* places(count: number, { every, seed }: Choice): Generator<number> {
  for (let at = seed % every; at < count; at += every) {
    yield at;
  }
}

const name_of = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** Cut at every byte. */
export function* truncations({ disk }: Sample, path: string, choice: Choice): Damages {
  const bytes = bytes_at(disk, path);
  for (const length of places(bytes.length, choice)) {
    yield () => ({ what: `${name_of(path)} cut at ${length}`, path, bytes: bytes.subarray(0, length) });
  }
}

function flipped(path: string, bytes: Buffer, at: number, mask: number): Damage {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return { what: `${name_of(path)} byte ${at} flipped by ${mask}`, path, bytes: copy };
}

/** Every byte flipped: in its lowest bit, its highest, and bits that the seed decides. */
export function* flips({ disk }: Sample, path: string, choice: Choice): Damages {
  const bytes = bytes_at(disk, path);
  const { below } = seeded_random(choice.seed);
  const masks = [() => 0x01, () => 0x80, () => 1 + below(255)];
  for (const [n, mask_of] of masks.entries()) {
    for (const at of places(bytes.length, { ...choice, seed: choice.seed + n })) {
      const mask = mask_of();
      yield () => flipped(path, bytes, at, mask);
    }
  }
}

/** Single bytes anywhere flipped by anything. */
export function* random_flips({ disk }: Sample, path: string, count: number, seed: number): Damages {
  const bytes = bytes_at(disk, path);
  const { below } = seeded_random(seed);
  for (let n = 0; n < count; n += 1) {
    const [at, mask] = [below(bytes.length), 1 + below(255)];
    yield () => flipped(path, bytes, at, mask);
  }
}

/** Whole blocks that read as zeros, and everything from a block on. */
export function* zeros({ disk }: Sample, path: string, choice: Choice): Damages {
  const bytes = bytes_at(disk, path);
  for (const size of [512, 4096]) {
    for (const block of places(Math.ceil(bytes.length / size), choice)) {
      const begin = block * size;
      for (const end of [Math.min(begin + size, bytes.length), bytes.length]) {
        const what = `${name_of(path)} zeros from ${begin} to ${end}`;
        yield () => ({ what, path, bytes: Buffer.from(bytes).fill(0, begin, end) });
      }
    }
  }
}

/** Records that are missing, there twice, in another order, or another journal's. */
export function* shuffled({ records, twin }: Sample, others: readonly Buffer[][]): Damages {
  const strangers = [twin.records, ...others];
  const made = function* (): Generator<[string, Buffer[]]> {
    for (const [n, record] of records.entries()) {
      yield [`without record ${n}`, records.filter((_, other) => other !== n)];
      yield [`record ${n} twice`, records.toSpliced(n, 0, record)];
      yield [`record ${n} again at the end`, [...records, record]];
      for (let other = n + 1; other < records.length; other += 1) {
        const swapped = [...records];
        [swapped[n], swapped[other]] = [records[other] ?? record, record];
        yield [`records ${n} and ${other} the other way round`, swapped];
      }
      for (const [which, stranger] of strangers.entries()) {
        yield [`record ${n} of journal ${which}`, records.with(n, stranger[n] ?? record)];
        yield [`record ${n} of journal ${which} behind it`, [...records, stranger[n] ?? record]];
      }
    }
    for (const [which, stranger] of strangers.entries()) {
      if (stranger !== twin.records) {
        yield [`journal ${which} in its place`, stranger];
      }
      yield [`journal ${which} behind it`, [...records, ...stranger]];
    }
    yield ["itself twice", [...records, ...records]];
    yield ["zeros behind it", [...records, Buffer.alloc(5000)]];
    yield ["noise behind it", [...records, Buffer.from("\n#\n#{}\n}]#0123456789abcdef 5 {}\n#")]];
    yield ["nothing in it", []];
  };
  for (const [what, parts] of made()) {
    yield () => ({ what: `journal with ${what}`, path: JOURNAL, bytes: Buffer.concat(parts) });
  }
}
