/** What an operation touches. Two that touch the same thing, one of them for writing, do not commute. */
export interface Access {
  /** A name of a directory, the content of a file, the list of names of a directory … */
  thing: string;
  writes: boolean;
}

/** 64 bits in two halves. */
interface Digest {
  high: number;
  low: number;
}

const NOTHING: Digest = { high: 0, low: 0 };

function mixed(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return (bits ^ (bits >>> 16)) | 0;
}

function sum(a: Digest, b: Digest): Digest {
  return { high: (a.high + b.high) | 0, low: (a.low + b.low) | 0 };
}

/**
 * The order of what has happened, as far as it matters: operations that commute may have happened in either order.
 * Equal keys: the same things have happened, and all that they read and left is the same.
 */
export class Causality {
  #all = NOTHING;
  #things = new Map<string, { write: Digest; reads: Digest }>();
  #counts = new Map<number, number>();

  copy(): Causality {
    const copy = new Causality();
    copy.#all = this.#all;
    copy.#things = new Map(this.#things);
    copy.#counts = new Map(this.#counts);
    return copy;
  }

  /** The key, of 53 bits, once this has happened too. `idle`: who else makes a difference. */
  after(thread: number, accesses: readonly Access[], idle: readonly number[]): number {
    const { high, low } = sum(this.#all, this.#event(thread, accesses));
    const rest = [thread, ...idle].reduce((bits, one) => mixed(bits + one + 0x3c6e), 0);
    return (high >>> 0) * 2 ** 21 + ((low + rest) >>> 11);
  }

  happen(thread: number, accesses: readonly Access[]): void {
    const event = this.#event(thread, accesses);
    this.#all = sum(this.#all, event);
    this.#counts.set(thread, (this.#counts.get(thread) ?? 0) + 1);
    for (const { thing, writes } of accesses) {
      const known = this.#things.get(thing) ?? { write: NOTHING, reads: NOTHING };
      this.#things.set(
        thing,
        writes ? { write: event, reads: NOTHING } : { write: known.write, reads: sum(known.reads, event) },
      );
    }
  }

  #event(thread: number, accesses: readonly Access[]): Digest {
    let before = NOTHING;
    for (const { thing, writes } of accesses) {
      const known = this.#things.get(thing);
      if (known !== undefined) {
        before = sum(before, writes ? sum(known.write, known.reads) : known.write);
      }
    }
    const count = this.#counts.get(thread) ?? 0;
    return {
      high: mixed(mixed(mixed(thread + 0x51ed) + count) + mixed(before.high) + Math.imul(before.low, 31)),
      low: mixed(mixed(mixed(thread + 0x2f1b) + count) + mixed(before.low + 7) + Math.imul(before.high, 17)),
    };
  }
}
