import type { MemoryDisk } from "../crash-states/memory-disk.js";
import { Bytes } from "./bytes.js";
import type { DiskOperation } from "./disk-operation.js";
import type { Answer, Call, Session } from "./history.js";

/** What an actor does of its own. */
export type Event =
  | { kind: "asks"; operation: DiskOperation; holds_turn: boolean }
  | { kind: "sleeps" }
  | { kind: "calls"; call: Pick<Call, "actor" | "id" | "asked"> }
  | { kind: "is answered"; answer: Answer }
  | { kind: "ends" };

/** What an actor does between two answers of the disk; then it waits, or asks for something that is done at once. */
export interface Moment {
  events: Event[];
  at_once?: DiskOperation;
  /** All of it. */
  is_known: boolean;
  /** By what it sees next, and as which thread. */
  next: Map<string, Moment>;
}

/** How things are when the actors begin; it is always the same. */
export interface Beginning {
  disk: MemoryDisk;
  /** What each has opened so far, and how much of it is open. */
  files: readonly (readonly number[])[];
  open: readonly number[];
  sessions: ReadonlyMap<string, Session>;
}

/**
 * What the actors of a scenario did so far, by what they had seen by then. What somebody does follows from that alone:
 * an order in which nobody sees anything new need not be run to know how it goes.
 */
export class Memory {
  readonly bytes = new Bytes();
  readonly beginnings: readonly Moment[];
  beginning: Beginning | undefined;

  constructor(actors: number) {
    this.beginnings = Array.from({ length: actors }, moment);
  }

  /** To write down what the actors do in one more order. */
  recorders(): Recorder[] {
    return this.beginnings.map((beginning) => new Recorder(beginning));
  }
}

function moment(): Moment {
  return { events: [], is_known: false, next: new Map() };
}

export function wakes(thread: number): string {
  return `${thread} wakes`;
}

export function sees(thread: number, seen: string): string {
  return `${thread} ${seen}`;
}

/** Writes down what one actor does, and compares it with what it did before. */
export class Recorder {
  /** It did something else than it had done before, where it had seen the same. */
  did_otherwise = false;
  #moment: Moment;
  #position = 0;

  constructor(beginning: Moment) {
    this.#moment = beginning;
  }

  does(event: Event): void {
    const { events, is_known } = this.#moment;
    if (!is_known) {
      events.push(event);
    } else if (!is_same(events[this.#position], event)) {
      this.did_otherwise = true;
    }
    this.#position += 1;
  }

  at_once(operation: DiskOperation, seen: string): void {
    if (!this.#moment.is_known) {
      this.#moment.at_once = operation;
    } else if (this.#moment.at_once === undefined || !is_same_operation(this.#moment.at_once, operation)) {
      this.did_otherwise = true;
    }
    this.goes_on(seen);
  }

  /** It has an answer, and goes on. */
  goes_on(seen: string): void {
    this.pauses();
    const next = this.#moment.next.get(seen) ?? moment();
    this.#moment.next.set(seen, next);
    this.#moment = next;
    this.#position = 0;
  }

  /** It does nothing more before it sees something. */
  pauses(): void {
    this.did_otherwise ||= this.#position !== this.#moment.events.length;
    this.#moment.is_known = true;
  }
}

function is_same(a: Event | undefined, b: Event): boolean {
  return a?.kind === "asks" && b.kind === "asks"
    ? a.holds_turn === b.holds_turn && is_same_operation(a.operation, b.operation)
    : JSON.stringify(a) === JSON.stringify(b);
}

/** Equal bytes are the same object. */
function is_same_operation(a: DiskOperation, b: DiskOperation): boolean {
  const [some, others] = [Object.entries(a), new Map(Object.entries(b))];
  return some.length === others.size && some.every(([key, value]) => others.get(key) === value);
}
