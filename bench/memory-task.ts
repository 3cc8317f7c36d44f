import type { FileSessionFormat } from "@simulacra-ai/session";

/** What a process is to measure. */
export interface MemoryTask {
  /**
   * `turns`: the engine runs them one by one, each saved before the next. `load`: a manager loads a stored session.
   * `plain`: a plain reader loads it.
   */
  way: "turns" | "load" | "plain";
  format: FileSessionFormat;
  directory: string;
  turns: number;
}

/** How many bytes more than before are held, all garbage collected. */
export interface MemoryReport {
  /** By the conversation, its manager and its store. */
  all: number;
  /** By the conversation, when manager and store are gone. */
  conversation: number;
  /** When that is gone, too. */
  left: number;
}

/** The session that is there to be loaded. */
export const STORED_ID: Record<FileSessionFormat, string> = { json: "stored-json", ndjson: "stored-ndjson" };
