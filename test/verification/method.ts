import type { Budget, Progress } from "./budget.js";

/** A way to find out whether anything that was acknowledged is ever lost. */
export interface Method {
  /** As in the table of `npm run test:crash`. */
  name: string;
  /** Why it cannot be run on this machine; `undefined`: it can. */
  unavailable?(): string | undefined;
  /** Makes rounds: all that the form plans, or as many as the budget allows, and at least one of each kind. */
  run(scale: Scale): Promise<Outcome>;
}

/** Which form of a method is run, and when it ends. */
export interface Scale extends Budget {
  /** The full form; otherwise the short one that is part of `npm run test:verification`. */
  full: boolean;
  /** For everything that is random. */
  seed: number;
  /** How far it has come, a line at a time, where that takes long. */
  tell?: (line: string) => void;
}

export interface Outcome {
  rounds: number;
  /** What a round is: states, kills, cuts, orders … */
  unit: string;
  /** How much of the form was made in the time. */
  progress: Progress;
  /** What was lost, unreadable, out of order or left behind, a line each. */
  losses: string[];
  /** What else is worth knowing, in a few words. */
  note?: string;
}
