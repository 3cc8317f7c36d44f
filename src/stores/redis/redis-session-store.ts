import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { Message } from "@simulacra-ai/core";
import { draft_to_json } from "../../draft.js";
import { SessionError, session_not_found } from "../../errors.js";
import { messages_to_json, metadata_to_plain } from "../../json.js";
import { merge_metadata } from "../../metadata.js";
import { revision_of } from "../../revision.js";
import { publish_operations } from "../../tracing.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";
import { WriteQueue } from "../../write-queue.js";
import { read_from, write_to } from "../session-rows.js";
import type { RedisSessionClient } from "./redis-client.js";
import { is_id, require_id, require_prefix } from "./redis-keys.js";
import { SessionIndex } from "./session-index.js";
import { list_sessions, rebuild, sweep } from "./session-listing.js";
import { prompt_mark, read_state, SessionRecords, type SessionState, type SessionWrite } from "./session-records.js";

export interface RedisSessionStoreOptions {
  /** What all keys begin with: at most 100 characters, no braces. Default: `sessions`. */
  prefix?: string;
  /** A session is gone so many seconds after it was last written. Default: never. */
  ttl_seconds?: number;
}

/** What a change comes to, and what there is to write for it. */
interface Decision<T> {
  result: T;
  write?: Omit<SessionWrite, "on" | "entry">;
}

/** How often other writers may come between what was read and what is to be written. */
const ATTEMPTS = 100;
const LONGEST_MS = 50;
/** What is due to be looked at for its expiry, and is alive, is looked at again after at least so long. */
const AGAIN_MS = 60_000;
const MAX_TTL_SECONDS = 1e10;

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
  readonly #ttl_ms: number;
  readonly #index: SessionIndex;
  readonly #records: SessionRecords;
  readonly #queues = new Map<string, WriteQueue>();

  /** @throws {SessionError} `invalid_input` for a client, or options, that cannot be used. */
  constructor(client: RedisSessionClient, options?: RedisSessionStoreOptions) {
    const { prefix = "sessions", ttl_seconds } = options ?? {};
    if (typeof (client as RedisSessionClient | undefined)?.evalSha !== "function") {
      throw new SessionError("invalid_input", "the client must be one of node-redis");
    }
    require_prefix(prefix);
    const is_ttl = typeof ttl_seconds === "number" && ttl_seconds > 0 && ttl_seconds <= MAX_TTL_SECONDS;
    if (ttl_seconds !== undefined && !is_ttl) {
      throw new SessionError("invalid_input", `ttl_seconds must be above 0, not ${String(ttl_seconds)}`);
    }
    this.#client = client;
    this.#prefix = prefix;
    this.#ttl_ms = Math.ceil((ttl_seconds ?? 0) * 1000);
    this.#index = new SessionIndex(client, prefix);
    this.#records = new SessionRecords(client, prefix, this.#ttl_ms);
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return read_from("the list of sessions", undefined, () => list_sessions(this.#index, this.#records, query));
  }

  async load(id: string): Promise<StoredSession | undefined> {
    return is_id(id) ? read_from(`session ${id}`, id, () => this.#records.load(id)) : undefined;
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    await this.#put(id, messages, metadata, () => undefined);
  }

  async delete(id: string): Promise<boolean> {
    if (!is_id(id)) {
      return false;
    }
    return this.#in_order(id, async () => {
      const { found, entry } = await this.#records.delete(id);
      if (entry !== undefined) {
        await this.#afterwards(() => this.#index.remove([entry]));
      }
      return found;
    });
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    require_id(id);
    const texts = messages_to_json(messages, id);
    const given = metadata_to_plain(options?.metadata, id);
    const expected = revision_of(options, id);
    const ids = ids_of(messages);
    return this.#change(id, (stored) => {
      const { metadata: old, message_count: kept, revision: current } = require_revision(id, stored, expected);
      const metadata = merge_metadata(old, given, { id, message_count: kept + texts.length });
      const revision = texts.length > 0 ? new_revision() : current;
      const added = texts.length > 0 ? { kept, texts, ids } : undefined;
      return { result: { revision }, write: { metadata, revision, messages: added } };
    });
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    require_id(id);
    const expected = revision_of(options, id);
    return this.#put(id, messages, options.metadata, (stored) => {
      if (expected !== null) {
        require_revision(id, stored, expected);
      } else if (stored !== undefined) {
        throw new SessionError("conflict", `session ${id} exists already`, { session_id: id });
      }
    });
  }

  async update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    const given = metadata_to_plain(metadata, id);
    if (!is_id(id)) {
      return false;
    }
    return this.#change(id, (stored): Decision<boolean> => {
      if (stored === undefined) {
        return { result: false };
      }
      const { message_count, revision } = stored;
      const merged = merge_metadata(stored.metadata, given, { id, message_count });
      return { result: true, write: { metadata: merged, revision, messages: undefined } };
    });
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

  /** Creates the session or replaces its messages, if `check` does not object to what is stored. */
  async #put(
    id: string,
    messages: Message[],
    metadata: Partial<SessionMetadata> | undefined,
    check: (stored: SessionState | undefined) => void,
  ): Promise<SessionRevision> {
    require_id(id);
    const texts = messages_to_json(messages, id);
    const given = metadata_to_plain(metadata, id);
    const ids = ids_of(messages);
    return this.#change(id, (stored) => {
      check(stored);
      const merged = merge_metadata(stored?.metadata, given, { id, message_count: texts.length });
      const revision = new_revision();
      return { result: { revision }, write: { metadata: merged, revision, messages: { kept: 0, texts, ids } } };
    });
  }

  /** Reads the state, decides, and writes if the state is still the same; else it is all done again. */
  #change<T>(id: string, decide: (stored: SessionState | undefined) => Decision<T>): Promise<T> {
    return this.#in_order(id, async () => {
      const abandoned: string[] = [];
      try {
        for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
          const raw = await this.#records.state(id);
          const stored = raw && read_state(id, raw);
          const { result, write } = decide(stored);
          if (write === undefined) {
            return result;
          }
          const { entry, expired } = await this.#index.begin(write.metadata, this.#ttl_ms);
          const is_written =
            (await this.#records.write(id, { ...write, on: stored?.entry, entry })) ||
            // a client that sends a command anew over another connection finds its own change
            (await this.#records.state(id))?.entry === entry;
          if (is_written) {
            const past = stored === undefined ? [] : [stored.entry];
            await this.#afterwards(() => this.#tidy(entry, past, expired));
            return result;
          }
          abandoned.push(entry);
          await pause(Math.random() * Math.min(LONGEST_MS, 2 ** attempt));
        }
        const message = `session ${id} is changed by others faster than it can be written`;
        throw new SessionError("storage", message, { session_id: id });
      } finally {
        if (abandoned.length > 0) {
          await this.#afterwards(() => this.#index.remove(abandoned));
        }
      }
    });
  }

  async #tidy(entry: string, past: readonly string[], expired: readonly string[]): Promise<void> {
    await this.#index.finish(entry, past);
    if (expired.length > 0) {
      await sweep(this.#index, this.#records, expired, Math.max(this.#ttl_ms, AGAIN_MS));
    }
  }

  /** What makes the index tidy after a change: the change is made, and every list drops what is left behind. */
  async #afterwards(task: () => Promise<void>): Promise<void> {
    await task().catch((error: unknown) => error);
  }

  /** Runs a change behind those asked for before. */
  #in_order<T>(id: string, task: () => Promise<T>, kind: "session" | "draft" = "session"): Promise<T> {
    const name = `${kind} ${id}`;
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = new WriteQueue(undefined, () => this.#queues.delete(name));
      this.#queues.set(name, queue);
    }
    return queue.run(() => write_to(id, task));
  }
}

publish_operations(RedisSessionStore);

function new_revision(): string {
  return randomBytes(12).toString("base64url");
}

/** As they are at the call. */
function ids_of(messages: readonly Message[]): string[] {
  return messages.map(prompt_mark).filter((id) => id !== undefined);
}

function require_revision(id: string, stored: SessionState | undefined, revision: string): SessionState {
  if (stored === undefined) {
    throw session_not_found(id);
  }
  if (stored.revision !== revision) {
    throw new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
  }
  return stored;
}
