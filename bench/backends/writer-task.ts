import type { Address } from "./backend.js";

/** What one of several processes is to do. */
export interface WriterTask {
  address: Address;
  name: string;
  /** How many there are: they begin when all are there. */
  processes: number;
  /** To the session of all, and as many to its own. */
  appends: number;
}

export interface WriterReport {
  /** The ids of the messages whose appends were acknowledged, by session. */
  written: Record<string, string[]>;
  conflicts: number;
}

export const SHARED_SESSION = "shared";

export function own_session({ name }: Pick<WriterTask, "name">): string {
  return `own-${name}`;
}
