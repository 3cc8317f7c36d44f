import type { Message } from "@simulacra-ai/core";
import { draft_to_json } from "../../draft.js";
import { invalid_input, session_not_found } from "../../errors.js";
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
import type { RedisSessionClient } from "./redis-client.js";
import { is_id, require_id, require_prefix } from "./redis-keys.js";
import { SessionChanges } from "./session-changes.js";
import { SessionIndex } from "./session-index.js";
import { list_sessions, rebuild } from "./session-listing.js";
import { SessionRecords } from "./session-records.js";

export interface RedisSessionStoreOptions {
  /** What all keys begin with: at most 100 characters, no braces. Default: `sessions`. */
  prefix?: string;
  /** A session is gone so many seconds after it was last written. Default: never. */
  ttl_seconds?: number;
}

/** Beyond it the time of an expiry would have more digits than the index has room for. */
const MAX_TTL_SECONDS = 8e9;

/**
 * Sessions in Redis 5 or newer, one server or a cluster, through a connected client of node-redis. A hash a session, and
 * a sorted set over all of them for the list.
 *
 * Ids have up to 200 UTF-16 code units and no lone surrogates. Each change is one script on the server, and takes effect
 * only if the session is still as it was read; what another writer prevented is tried again. How durable an acknowledged
 * change is, is the server's configuration: `appendfsync always` keeps all, `everysec` may lose a second, and a cluster
 * or a sentinel may lose more when a replica takes over. `save` and `replace` do not read the messages that they replace, so
 * they repair a session of which messages are damaged; one of which the metadata are damaged is never overwritten, and can
 * be deleted.
 *
 * With `ttl_seconds` every change, drafts included, renews the time that a session has; a change through a store without it makes the
 * session permanent.
 */
export class RedisSessionStore implements SessionStore {
  readonly #client: RedisSessionClient;
  readonly #prefix: string;
  readonly #index: SessionIndex;
  readonly #records: SessionRecords;
  readonly #changes: SessionChanges;
  readonly #queues = new KeyedQueues();

  /** @throws {SessionError} `invalid_input` for a client, or options, that cannot be used. */
  constructor(client: RedisSessionClient, options?: RedisSessionStoreOptions) {
    const { prefix = "sessions", ttl_seconds } = options ?? {};
    if (typeof (client as RedisSessionClient | undefined)?.evalSha !== "function") {
      throw invalid_input("the client must be one of node-redis");
    }
    require_prefix(prefix);
    const is_ttl = typeof ttl_seconds === "number" && ttl_seconds > 0 && ttl_seconds <= MAX_TTL_SECONDS;
    if (ttl_seconds !== undefined && !is_ttl) {
      throw invalid_input(`ttl_seconds must be above 0, not ${String(ttl_seconds)}`);
    }
    this.#client = client;
    this.#prefix = prefix;
    const ttl_ms = Math.ceil((ttl_seconds ?? 0) * 1000);
    this.#index = new SessionIndex(client, prefix);
    this.#records = new SessionRecords(client, prefix, ttl_ms);
    this.#changes = new SessionChanges(this.#index, this.#records, ttl_ms);
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return read_from("the list of sessions", undefined, () => list_sessions(this.#index, this.#records, query));
  }

  async load(id: string): Promise<StoredSession | undefined> {
    return is_id(id) ? read_from(`session ${id}`, id, () => this.#records.load(id)) : undefined;
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    require_id(id);
    await this.#change(id, decide_save(id, messages, metadata));
  }

  async delete(id: string): Promise<boolean> {
    return is_id(id) && this.#in_order(id, () => this.#changes.delete(id));
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
    const text = draft_to_json(draft, id);
    // In a queue of their own: the last one wins, and none waits behind a save.
    const is_there = is_id(id) && (await this.#in_order(id, () => this.#records.set_draft(id, text), "draft"));
    if (!is_there && text !== undefined) {
      throw session_not_found(id);
    }
  }

  /**
   * Makes the list complete again, whatever has become of its index: walks through all keys of every master and enters
   * each session of this prefix. Others may read and write meanwhile; while slots move between servers a key may be
   * missed. Returns how many sessions there are.
   */
  async rebuild_index(): Promise<number> {
    return read_from("the list of sessions", undefined, () =>
      rebuild(this.#client, this.#prefix, this.#index, this.#records),
    );
  }

  #change<T>(id: string, decide: Decide<T>): Promise<T> {
    return this.#in_order(id, () => this.#changes.change(id, decide));
  }

  /** Runs a change behind those asked for before. */
  #in_order<T>(id: string, task: () => Promise<T>, kind: "session" | "draft" = "session"): Promise<T> {
    return this.#queues.run(`${kind} ${id}`, () => write_to(id, task));
  }
}
