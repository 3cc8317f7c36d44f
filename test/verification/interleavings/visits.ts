const FIRST_SLOTS = 2 ** 12;
/** Of the slots, so many are taken at most. */
const FILL = 0.6;

/**
 * Who was where, with how many interruptions, and with whom held back. There are tens of millions: they stand in a few
 * arrays of numbers, which no collector looks through, each in the first free slot from the one that its key names.
 */
export class Visits {
  readonly #sets = new ThreadSets();
  #slots = new Slots(FIRST_SLOTS);
  #count = 0;

  /** Whether somebody was there with no more interruptions, and no more threads that were not to go on. */
  has(key: number, preemptions: number, held: readonly number[]): boolean {
    const slots = this.#slots;
    const set = this.#sets.number_of(held);
    for (let at = slots.first(key); slots.is_taken(at); at = slots.next(at)) {
      if (slots.has_key(at, key) && slots.preemptions(at) <= preemptions && this.#sets.holds(set, slots.set(at))) {
        return true;
      }
    }
    return false;
  }

  add(key: number, preemptions: number, held: readonly number[]): void {
    this.#count += 1;
    if (this.#count > FILL * this.#slots.length) {
      this.#slots = this.#slots.grown();
    }
    this.#slots.put(key, preemptions, this.#sets.number_of(held));
  }

  clear(): void {
    this.#slots = new Slots(FIRST_SLOTS);
    this.#count = 0;
  }
}

class Slots {
  /** A power of two. */
  readonly length: number;
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  readonly #set: Uint16Array;
  /** One more than there were; 0: nobody has the slot. */
  readonly #preemptions: Uint8Array;

  constructor(length: number) {
    this.length = length;
    this.#high = new Uint32Array(length);
    this.#low = new Uint32Array(length);
    this.#set = new Uint16Array(length);
    this.#preemptions = new Uint8Array(length);
  }

  /** Keys are evenly spread already. */
  first(key: number): number {
    return (key >>> 0) & (this.length - 1);
  }

  next(at: number): number {
    return (at + 1) & (this.length - 1);
  }

  is_taken(at: number): boolean {
    return this.#preemptions[at] !== 0;
  }

  has_key(at: number, key: number): boolean {
    return this.#low[at] === key >>> 0 && this.#high[at] === high_of(key);
  }

  preemptions(at: number): number {
    return (this.#preemptions[at] ?? 0) - 1;
  }

  set(at: number): number {
    return this.#set[at] ?? 0;
  }

  put(key: number, preemptions: number, set: number): void {
    let at = this.first(key);
    while (this.is_taken(at)) {
      at = this.next(at);
    }
    this.#low[at] = key >>> 0;
    this.#high[at] = high_of(key);
    this.#set[at] = set;
    this.#preemptions[at] = preemptions + 1;
  }

  grown(): Slots {
    const grown = new Slots(2 * this.length);
    for (let at = 0; at < this.length; at += 1) {
      if (this.is_taken(at)) {
        const key = (this.#high[at] ?? 0) * 2 ** 32 + (this.#low[at] ?? 0);
        grown.put(key, this.preemptions(at), this.set(at));
      }
    }
    return grown;
  }
}

function high_of(key: number): number {
  return Math.floor(key / 2 ** 32);
}

/** Sets of threads, by numbers; 0 is nobody. */
class ThreadSets {
  readonly #numbers = new Map<string, number>();
  readonly #sets: (readonly number[])[] = [[]];

  number_of(threads: readonly number[]): number {
    if (threads.length === 0) {
      return 0;
    }
    const name = threads.join();
    const known = this.#numbers.get(name) ?? this.#sets.length;
    if (known === this.#sets.length) {
      if (known >= 2 ** 16) {
        throw new Error("there are more sets of threads than have a number");
      }
      this.#numbers.set(name, known);
      this.#sets.push(threads);
    }
    return known;
  }

  /** Whether all threads of another set are in this one. */
  holds(set: number, other: number): boolean {
    return other === 0 || other === set || this.#is_subset(this.#sets[other] ?? [], this.#sets[set] ?? []);
  }

  #is_subset(some: readonly number[], all: readonly number[]): boolean {
    return some.every((thread) => all.includes(thread));
  }
}
