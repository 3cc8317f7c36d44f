import { resized } from "./logged-disk.js";

const BLOCK = 4096;

/** What becomes of a block, or of a file's length: as it was to be, as it was, or in between. */
export type Fate = "kept" | "dropped" | "torn";

/** A file with bytes that have not been synced. */
export class CrashedFile {
  readonly synced: Buffer;
  #newest: Buffer;
  #dirty: number[] | undefined;
  readonly #known = new Map<string, Buffer>();

  constructor(synced: Buffer) {
    this.synced = synced;
    this.#newest = synced;
  }

  get newest(): Buffer {
    return this.#newest;
  }

  set newest(bytes: Buffer) {
    this.#newest = bytes;
    this.#dirty = undefined;
    this.#known.clear();
  }

  /** Where the blocks begin that differ. */
  get #blocks(): number[] {
    if (this.#dirty === undefined) {
      const size = Math.max(this.synced.length, this.#newest.length);
      const [from, to] = [resized(this.synced, size), resized(this.#newest, size)];
      this.#dirty = [];
      for (let begin = 0; begin < size; begin += BLOCK) {
        const end = Math.min(begin + BLOCK, size);
        if (from.compare(to, begin, end, begin, end) !== 0) {
          this.#dirty.push(begin);
        }
      }
    }
    return this.#dirty;
  }

  /** How many fates there are to decide: its length, where that differs, and each block. */
  get parts(): number {
    return this.#blocks.length + (this.synced.length === this.#newest.length ? 0 : 1);
  }

  /** The file after a crash that deals these fates. */
  after(fates: readonly Fate[]): Buffer {
    const key = fates.join();
    const known = this.#known.get(key) ?? this.#after([...fates]);
    this.#known.set(key, known);
    return known;
  }

  #after(fates: Fate[]): Buffer {
    const [old_size, new_size] = [this.synced.length, this.#newest.length];
    const size_fate = old_size === new_size ? "kept" : (fates.pop() ?? "kept");
    const between = Math.floor((old_size + new_size) / 2);
    const size = { kept: new_size, dropped: old_size, torn: between }[size_fate];
    const result = Buffer.from(resized(this.synced, size));
    const to = resized(this.#newest, size);
    this.#blocks.forEach((begin, index) => {
      const end = Math.min(begin + BLOCK, size);
      if (fates[index] !== "dropped" && begin < end) {
        to.copy(result, begin, begin, fates[index] === "torn" ? middle_of_difference(result, to, begin, end) : end);
      }
    });
    return result;
  }
}

function middle_of_difference(a: Buffer, b: Buffer, begin: number, end: number): number {
  let [first, last] = [begin, end];
  while (first < last && a[first] === b[first]) {
    first += 1;
  }
  while (last > first && a[last - 1] === b[last - 1]) {
    last -= 1;
  }
  return Math.floor((first + last) / 2);
}
