/** A way to find out whether anything that was acknowledged is ever lost. */
export interface Method {
  /** As in the table of `npm run test:crash`. */
  name: string;
  /** Why it cannot be run on this machine; `undefined`: it can. */
  unavailable?(): string | undefined;
  /** Rounds that the full form makes, and the short one that is part of `npm test`. */
  run(scale: Scale): Promise<Outcome>;
}

export interface Scale {
  full: boolean;
  /** With `full`: without a limit of time, where there is one. */
  to_the_end?: boolean;
  /** For everything that is random. */
  seed: number;
  /** How far it has come, a line at a time, where that takes long. */
  tell?: (line: string) => void;
}

export interface Outcome {
  rounds: number;
  /** What a round is: states, kills, cuts, orders … */
  unit: string;
  /** What was lost, unreadable, out of order or left behind, a line each. */
  losses: string[];
  /** What else is worth knowing, in a few words. */
  note?: string;
}
