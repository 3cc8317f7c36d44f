import type { Access } from "./causality.js";
import type { Doing } from "./order.js";

/** Who has read and written a thing in any order so far. */
interface Users {
  readers: Set<number>;
  writers: Set<number>;
}

interface Parking<T> {
  doing: Doing;
  all: T[];
}

/**
 * Interruptions before an operation with which nobody else has conflicted in any order so far. They lead nowhere else:
 * the first operation that did conflict would have come up behind the operation, too, and be known. If ever it comes
 * up, they are due.
 */
export class Parked<T> {
  readonly #users = new Map<string, Users>();
  readonly #parked = new Map<string, Parking<T>>();

  /** Notes what somebody has done. Returns what is due now. */
  note({ actor, accesses }: Doing): T[] {
    let is_new = false;
    for (const access of accesses) {
      const { readers, writers } = this.#users_of(access);
      const users = access.writes ? writers : readers;
      is_new ||= !users.has(actor);
      users.add(actor);
    }
    const due: T[] = [];
    for (const [name, { doing, all }] of is_new ? this.#parked : []) {
      if (this.is_met(doing)) {
        due.push(...all);
        this.#parked.delete(name);
      }
    }
    return due;
  }

  /** Whether anybody else has ever conflicted with this. */
  is_met({ actor, accesses }: Doing): boolean {
    return accesses.some((access) => {
      const { readers, writers } = this.#users_of(access);
      const users = access.writes ? [...readers, ...writers] : [...writers];
      return users.some((user) => user !== actor);
    });
  }

  park(doing: Doing, one: T): void {
    const name = [doing.actor, ...doing.accesses.map(({ thing, writes }) => `${thing} ${writes}`)].join(",");
    const parking = this.#parked.get(name);
    if (parking === undefined) {
      this.#parked.set(name, { doing, all: [one] });
    } else {
      parking.all.push(one);
    }
  }

  clear(): void {
    this.#parked.clear();
  }

  #users_of({ thing }: Access): Users {
    // Who comes first makes the file with the lower number: in another order it is another one.
    const name = thing.startsWith("content ") ? "content" : thing;
    const known = this.#users.get(name) ?? { readers: new Set(), writers: new Set() };
    this.#users.set(name, known);
    return known;
  }
}
