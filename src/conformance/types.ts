import type { SessionStore } from "../types.js";

/** What a case may need of a store; where it is missing, the case is not claimed. */
export type ConformanceNeed =
  | "append"
  | "replace"
  | "update"
  | "flush"
  | "set_draft"
  /** `load` returns a revision. */
  | "revision"
  /**
   * Any capability at all, or the option `rules`: the rules that only this package makes are asked of a store that goes
   * beyond the published four.
   */
  | "rules"
  /** `list` keeps to a query; a store may ignore it. */
  | "query"
  | "reopen"
  | "open_second"
  | "kills";

/** A store under test, and how to reach its sessions in other ways. */
export interface ConformanceFixture {
  store: SessionStore;
  /** The same sessions as another process would open them after this one has ended. */
  reopen?: () => Promise<SessionStore>;
  /** The same sessions beside the store, as another process would open them now. */
  open_second?: () => Promise<SessionStore>;
  kills?: ConformanceKills;
}

/** A rule that stores keep: plain data, and a function that rejects where a store does not. */
export interface ConformanceCase {
  group: string;
  name: string;
  needs?: readonly ConformanceNeed[];
  run(fixture: ConformanceFixture): Promise<void>;
}

/** Processes that write through the store and are killed: for stores that outlive a process. */
export interface ConformanceKills {
  /**
   * The path or `file:` URL of a module that exports `open(place)`, which returns a store over the sessions at that
   * place, and may export `close(store)`. A place is a directory that is there and empty: a store that keeps nothing on
   * disk takes its name for one of its own, such as a prefix.
   */
  module: string;
  /** How many processes are killed; 20 where it is missing. */
  rounds?: number;
  /** Options for Node.js before the program, such as `["--import", "tsx"]`; those of this process where it is missing. */
  node_options?: readonly string[];
}

export interface ConformanceOptions {
  /** A store that holds no sessions, each time. */
  open: () => SessionStore | Promise<SessionStore>;
  /** The sessions of the store that `open` returned last, after it was closed or left; for durability. */
  reopen?: () => SessionStore | Promise<SessionStore>;
  /** Another instance over the sessions of the store that `open` returned last; for concurrency. */
  open_second?: () => SessionStore | Promise<SessionStore>;
  /** Asks a store of four methods for the rules that only this package makes, too. */
  rules?: boolean;
  /** Called with each store when its case has ended. */
  close?: (store: SessionStore) => unknown;
  kills?: ConformanceKills;
}

export interface ConformanceResult {
  group: string;
  name: string;
  result: "pass" | "fail" | "not_claimed";
  /** Why it failed, or what the store lacks. */
  reason?: string;
}

/** What came of all cases; can be written as JSON. */
export interface ConformanceReport {
  cases: ConformanceResult[];
  passed: number;
  failed: number;
  not_claimed: number;
}
