import type { Message } from "@simulacra-ai/core";
import type { Kysely } from "kysely";
import { draft_to_json, prompt_mark } from "../../draft.js";
import { SessionError, session_not_found } from "../../errors.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";
import { KeyedQueues } from "../../async/queue.js";
import { decide_append, decide_replace, decide_save, decide_update, type Decide } from "../session-decisions.js";
import { read_from, write_to } from "../session-rows.js";
import { ID_RULE, is_id, to_key } from "./sql-keys.js";
import { check_version, migrate } from "./sql-migrate.js";
import { list_sessions, load_session } from "./sql-reads.js";
import { in_transaction, with_retries } from "./sql-retries.js";
import { lock_session, read_state, write_session } from "./sql-rows.js";
import { open_database, type SqlDatabase, type SqlSessionStoreOptions } from "./sql-tables.js";

/**
 * Sessions in a database that Kysely reaches: PostgreSQL, MySQL and MariaDB, SQLite. A row a session, a row a message,
 * drafts in a table of their own. Call `migrate()` once before the first use.
 *
 * Ids have up to 200 UTF-16 code units. A change takes effect in one transaction, and only if the session's row is still
 * as it was read: no isolation level lets two writers both win. What another writer prevented is tried again; a connection
 * that is lost is `storage`, and as with every database nobody knows then whether a commit under way was one.
 *
 * `save` and `replace` do not read the messages that they replace, so they repair a session of which messages are damaged.
 * One of which the metadata are damaged is never overwritten, and can be deleted.
 *
 * In SQLite, use one Kysely a process for a file: its driver stops the whole process while it waits for another's lock.
 */
export class SqlSessionStore implements SessionStore {
  readonly #database: SqlDatabase;
  readonly #queues = new KeyedQueues();
  #checked: Promise<void> | undefined;

  /** @throws {SessionError} `invalid_input` for options, or a database, that cannot be used. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever tables the application has itself
  constructor(kysely: Kysely<any>, options?: SqlSessionStoreOptions) {
    this.#database = open_database(kysely, options);
  }

  /**
   * Makes the tables, or brings them up to date. Any number of processes may call it at once.
   * @throws {SessionError} `storage`, also where the tables are newer than this code.
   */
  async migrate(): Promise<void> {
    await read_from("the tables of the session store", undefined, () => migrate(this.#database));
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return read_from("the list of sessions", undefined, async () => {
      await this.#ready();
      return with_retries(() => list_sessions(this.#database, query));
    });
  }

  async load(id: string): Promise<StoredSession | undefined> {
    if (!is_id(id)) {
      return undefined;
    }
    return read_from(`session ${id}`, id, async () => {
      await this.#ready();
      return with_retries(() => load_session(this.#database, id));
    });
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    require_id(id);
    await this.#change(id, decide_save(id, messages, metadata));
  }

  async delete(id: string): Promise<boolean> {
    if (!is_id(id)) {
      return false;
    }
    const { db, names } = this.#database;
    return this.#in_order(id, () =>
      in_transaction(db, async (transaction) => {
        const { numDeletedRows: found } = await transaction
          .deleteFrom(names.sessions)
          .where("session_key", "=", to_key(id))
          .executeTakeFirst();
        if (found > 0n) {
          await transaction.deleteFrom(names.messages).where("session_key", "=", to_key(id)).execute();
          await transaction.deleteFrom(names.drafts).where("session_key", "=", to_key(id)).execute();
        }
        return found > 0n;
      }),
    );
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    require_id(id);
    return this.#change(id, decide_append(id, messages, options));
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    require_id(id);
    return this.#change(id, decide_replace(id, messages, options));
  }

  async update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    const decide = decide_update(id, metadata);
    return is_id(id) && this.#change(id, decide);
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    const body = draft_to_json(draft, id);
    if (!is_id(id)) {
      if (body !== undefined) {
        throw session_not_found(id);
      }
      return;
    }
    const { db, names } = this.#database;
    const session_key = to_key(id);
    const prompt_id = body === undefined ? null : (prompt_mark((JSON.parse(body) as SessionDraft).prompt) ?? null);
    // In a queue of their own: the last one wins, and none waits behind a save.
    await this.#in_order(
      id,
      () =>
        in_transaction(db, async (transaction) => {
          const is_there = await lock_session(this.#database, transaction, id);
          if (!is_there && body !== undefined) {
            throw session_not_found(id);
          }
          await transaction.deleteFrom(names.drafts).where("session_key", "=", session_key).execute();
          if (body !== undefined) {
            await transaction.insertInto(names.drafts).values({ session_key, prompt_id, body }).execute();
          }
        }),
      "draft",
    );
  }

  /** The tables are looked at once; what was wrong with them is looked at again. */
  async #ready(): Promise<void> {
    this.#checked ??= with_retries(() => check_version(this.#database));
    try {
      await this.#checked;
    } catch (error) {
      this.#checked = undefined;
      throw error;
    }
  }

  /**
   * Reads the session's row, decides, and writes. Where another writer came between, it is all done again, with
   * the row locked: then nobody can.
   */
  #change<T>(id: string, decide: Decide<T>): Promise<T> {
    const database = this.#database;
    return this.#in_order(id, async (attempt) => {
      if (attempt > 0) {
        return in_transaction(database.db, async (transaction) => {
          await lock_session(database, transaction, id);
          const stored = await read_state(database, transaction, id);
          const { result, write } = decide(stored);
          if (write) {
            await write_session(database, transaction, stored, write);
          }
          return result;
        });
      }
      const stored = await read_state(database, database.db, id);
      const { result, write } = decide(stored);
      if (write) {
        await in_transaction(database.db, (transaction) => write_session(database, transaction, stored, write));
      }
      return result;
    });
  }

  /** Runs a change behind those asked for before, until nothing passing is in its way. */
  #in_order<T>(id: string, task: (attempt: number) => Promise<T>, kind: "session" | "draft" = "session"): Promise<T> {
    return this.#queues.run(`${kind} ${id}`, () =>
      write_to(id, async () => {
        await this.#ready();
        return with_retries(task);
      }),
    );
  }
}

function require_id(id: unknown): asserts id is string {
  if (!is_id(id)) {
    throw new SessionError("invalid_id", `a session id must be ${ID_RULE}`);
  }
}
