import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "../types.js";
import { RowStore } from "./row-store.js";
import type { ListedRow, SessionRow, StoredRow } from "./session-rows.js";

/** A row as `upsert` gets it: values, not JSON text, and the adapter's to keep. */
export type DrizzleSessionRow = SessionRow;

/** What of a row is new, as `append` gets it. */
export interface DrizzleSessionAppend {
  metadata: SessionMetadata;
  updated_at: string;
  /** What the row has to hold still: so many messages, and this date. */
  stored: { message_count: number; updated_at: string };
}

/**
 * The queries that the store runs, written with your own Drizzle instance and table. `metadata` and `messages` may come
 * back as values (`json`, `jsonb`, `text({ mode: "json" })`) or as JSON text. In columns of plain text a damaged row
 * harms no other; with the rest Drizzle itself parses, so that one such row fails the whole `list`.
 */
export interface DrizzleSessionAdapter {
  /** All rows, the newest first. */
  list(): Promise<readonly ListedRow[]>;
  load(id: string): Promise<StoredRow | null | undefined>;
  /** Inserts the row, or replaces all of it. */
  upsert(row: DrizzleSessionRow): Promise<unknown>;
  /** Whether there was such a row. */
  delete(id: string): Promise<boolean>;
  /** `list` without the messages: rows, or the metadata alone. */
  list_metadata?(): Promise<readonly (Omit<ListedRow, "messages"> | SessionMetadata)[]>;
  /**
   * Adds messages, or none, at the end of those in the row and replaces the other columns: in one statement, and only
   * if the row holds `row.stored.message_count` messages and its `updated_at` is `row.stored.updated_at`. Resolves with
   * whether it did; where it did not, or throws, the row is read anew and everything is written by `upsert`. Spares
   * writing the messages that are there.
   */
  append?(id: string, messages: Message[], row: DrizzleSessionAppend): Promise<boolean>;
}

/**
 * Sessions in a table of yours, reached by Drizzle: columns `id` (primary key), `metadata`, `messages` and
 * `updated_at`. Drizzle is not imported; the adapter is a handful of queries. Of two writers of one session the last
 * one wins.
 */
export class DrizzleSessionStore extends RowStore {
  constructor(adapter: DrizzleSessionAdapter) {
    super({
      list: async () => (adapter.list_metadata ? (await adapter.list_metadata()).map(listed) : adapter.list()),
      load: (id) => adapter.load(id),
      upsert: (row) => adapter.upsert(row),
      delete: (id) => adapter.delete(id),
      ...(adapter.append && {
        append: async (row, stored) => {
          const added = await adapter.append?.(row.id, row.messages.slice(stored.messages.length), {
            metadata: row.metadata,
            updated_at: row.updated_at,
            stored: { message_count: stored.messages.length, updated_at: stored.metadata.updated_at },
          });
          return added === true; // anything else is no promise, and writing everything is always right
        },
      }),
    });
  }
}

function listed(entry: Omit<ListedRow, "messages"> | SessionMetadata): ListedRow {
  return "metadata" in entry ? entry : { id: entry.id, metadata: entry };
}
