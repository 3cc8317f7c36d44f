import type { Access } from "./causality.js";
import type { Outcome } from "./disk-operation.js";
import type { Event } from "./memory.js";

/** Something that an actor is about to do, and is held at. */
export interface Held {
  /** What, and on which file. */
  label(): string;
  /** Asked for right before it is done: what it touches may depend on what is there. */
  accesses(): Access[];
  perform(thread: number): void;
  /** Nobody comes between it and the operation that follows. */
  holds_turn: boolean;
  /** To be interrupted before it shows nothing that to be interrupted behind it does not. */
  is_immediate: boolean;
}

export interface Operation extends Omit<Held, "perform"> {
  event: Event;
  perform(): Outcome;
}

/** Where one of several could go on. */
export interface Decision {
  chosen: number;
  /** What else could have. */
  others: Other[];
}

export interface Other {
  thread: number;
  /** Whether somebody would have been interrupted. */
  preempts: boolean;
  /** What has happened then. */
  key: number;
  /** Who is not to go on before something conflicts with what they were interrupted at. */
  held: readonly number[];
  /** What the one who is interrupted would do: only where somebody else can conflict with it is this of use. */
  instead_of?: Doing | undefined;
}

/** What an actor touches. */
export interface Doing {
  actor: number;
  accesses: readonly Access[];
}

export interface Order {
  /** Who did an operation, one after another. */
  choices: number[];
  decisions: Decision[];
  /** `n label` for each operation: text that is only made where it is read. */
  trace: (() => string)[];
  /** It became the same as an order that was seen before, and was left there. */
  was_known: boolean;
  /** Why it did not come to an end. */
  problem?: string;
}

export interface Guide {
  /** The first choices; then whoever is at it goes on for as long as possible. */
  prefix: readonly number[];
  /** Whether a state was met before with as much left to explore: the order need not be followed further. */
  is_known?(key: number, held: readonly number[]): boolean;
  /** Nobody is to be interrupted any more. */
  is_last?: boolean;
  /** Nothing is left out because it would lead to the same. */
  in_full?: boolean | undefined;
  /** Every operation. */
  note?(doing: Doing): void;
  /** Before each operation. Whoever is named dies here: nothing more of it happens. */
  before?(step: number): number | undefined;
}

export function new_order(choices: number[] = []): Order {
  return { choices, decisions: [], trace: [], was_known: false };
}

/** The threads of an actor have numbers of their own: it has as many as operations that it waits for at once. */
export const THREADS_PER_ACTOR = 100;

export function actor_of(thread: number): number {
  return Math.floor(thread / THREADS_PER_ACTOR);
}
