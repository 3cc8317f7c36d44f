import type { FileSessionFormat } from "@simulacra-ai/session";

/** The syncs that a broken store might leave out. */
export type Sync = "sync" | "datasync" | "sync_directory";

/** What a writer does until it is killed. */
export interface WriterTask {
  root: string;
  /** Where it says what is acknowledged: a file on another disk, so that it never waits there. */
  acknowledgements: string;
  program: "store" | "manager";
  seed: number;
  steps: number;
  /** How many calls are under way at a time. */
  lanes: number;
  format: FileSessionFormat;
  durable: boolean;
  /** It stops, until it is continued, after so many acknowledgements … */
  stop_after: number[];
  /** … and before these operations of the file system. */
  stop_before: number[];
  /** Syncs that do nothing: whoever looks has to notice. */
  without: Sync[];
}
