import type { Message } from "@simulacra-ai/core";
import { SessionError } from "../errors.js";
import { messages_to_json, metadata_to_plain } from "../json.js";
import { apply_query, merge_metadata, type MetadataPatch } from "../metadata.js";
import type { SessionMetadata, SessionQuery, SessionStore, StoredSession } from "../types.js";
import { KeyedQueues } from "../async/queue.js";
import {
  is_prefix,
  is_storable_id,
  read_entry,
  read_from,
  read_row,
  write_to,
  type ListedRow,
  type SessionRow,
  type StoredRow,
} from "./session-rows.js";

/** A table of sessions, as a library reaches it. Whatever it throws becomes a `SessionError`. */
export interface RowDriver {
  list(): Promise<readonly ListedRow[]>;
  load(id: string): Promise<StoredRow | null | undefined>;
  upsert(row: SessionRow): Promise<unknown>;
  delete(id: string): Promise<boolean>;
  /**
   * Writes what of the row goes beyond `stored`, whose messages are its first. False, or an error: it did not, and
   * everything has to be written.
   */
  append?: (row: SessionRow, stored: StoredSession) => Promise<boolean>;
}

/**
 * A session a row: the rules that every such store follows. `save` reads the row, to merge its metadata and so that
 * nothing damaged is overwritten, and writes it; what is asked of one instance happens in that order. There are no
 * revisions: of two writers of one session the last one wins.
 */
export class RowStore implements SessionStore {
  readonly #driver: RowDriver;
  readonly #queues = new KeyedQueues();

  constructor(driver: RowDriver) {
    this.#driver = driver;
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    const rows = await read_from("the list of sessions", undefined, () => this.#driver.list());
    return apply_query(rows.map(read_entry), query);
  }

  async load(id: string): Promise<StoredSession | undefined> {
    return is_storable_id(id) ? this.#read(id) : undefined;
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    if (!is_storable_id(id)) {
      throw new SessionError("invalid_id", "a session id must be a text without NUL and lone surrogates, not empty");
    }
    const json = `[${messages_to_json(messages, id).join()}]`;
    const given = metadata_to_plain(metadata, id);
    await this.#in_order(id, async () => {
      let stored = await this.#read(id);
      const { append } = this.#driver;
      if (append && stored && is_prefix(stored.messages, JSON.parse(json) as Message[])) {
        const [row, base] = [new_row(id, json, stored, given), stored];
        if (await append(row, base).catch(() => false)) {
          return;
        }
        // Another writer came between, or the adapter's query failed: the whole row is right in either case, with the
        // metadata that are stored now, and an error of the database comes again.
        stored = await this.#read(id);
      }
      const row = new_row(id, json, stored, given);
      await write_to(id, () => this.#driver.upsert(row));
    });
  }

  async delete(id: string): Promise<boolean> {
    return is_storable_id(id) && this.#in_order(id, () => write_to(id, () => this.#driver.delete(id)));
  }

  async #read(id: string): Promise<StoredSession | undefined> {
    const row = await read_from(`session ${id}`, id, () => this.#driver.load(id));
    return row ? read_row(id, row) : undefined;
  }

  /** Runs a change behind those asked for before. */
  #in_order<T>(id: string, task: () => Promise<T>): Promise<T> {
    return this.#queues.run(id, task);
  }
}

/** The row that a save makes of what is stored; nothing in it belongs to anybody else. */
function new_row(id: string, json: string, stored: StoredSession | undefined, given: MetadataPatch): SessionRow {
  const messages = JSON.parse(json) as Message[];
  const metadata = merge_metadata(stored?.metadata, given, { id, message_count: messages.length });
  return { id, metadata, messages, updated_at: metadata.updated_at };
}
