import type { Conversation } from "@simulacra-ai/core";
import { SessionError } from "./errors.js";
import { require_fork_policy } from "./manager/delete-session.js";
import { SessionEngine } from "./manager/session-engine.js";
import type {
  DeleteOptions,
  ForkOptions,
  SaveMetadata,
  SessionConversation,
  SessionManagerEvents,
  SessionManagerOptions,
} from "./manager/types.js";
import { apply_query } from "./metadata.js";
import { published } from "./tracing.js";
import type { SessionDraft, SessionMetadata, SessionQuery, SessionStore } from "./types.js";

/**
 * Makes a conversation durable: listens to it and keeps its session in a store. Everything that a manager writes
 * goes through one ordered queue, with the messages as they were when the save was asked for; `load`, `fork`,
 * `rename` and `delete` run behind what was asked for before them. Child conversations get sessions of their own.
 *
 * @example
 * ```ts
 * await using manager = new SessionManager(new FileSessionStore("./sessions"), conversation);
 * await manager.load(); // the newest session, or a new one
 * await conversation.prompt("Where were we?");
 * ```
 */
export class SessionManager {
  readonly #store: SessionStore;
  readonly #engine: SessionEngine;

  /** @throws {SessionError} `invalid_input` for an option that cannot be. */
  constructor(store: SessionStore, conversation: SessionConversation, options: SessionManagerOptions = {}) {
    const { auto_save = true, auto_slug = true, on_conflict = "fork", on_replace = "keep" } = options;
    const { drafts = true, draft_interval_ms = 1000 } = options;
    check_choice("on_conflict", on_conflict, ["fork", "error"]);
    check_choice("on_replace", on_replace, ["keep", "overwrite"]);
    if (typeof draft_interval_ms !== "number" || !(draft_interval_ms >= 0)) {
      throw new SessionError("invalid_input", "draft_interval_ms must be a number of milliseconds");
    }
    this.#store = published(store);
    this.#engine = new SessionEngine(store, conversation, {
      auto_save,
      auto_slug,
      on_conflict,
      on_replace,
      drafts,
      draft_interval_ms,
    });
  }

  /** The session that the conversation is saved to, if one is active. */
  get current_session_id(): string | undefined {
    return this.#engine.session_id;
  }

  /** Whether a session is active. */
  get is_loaded(): boolean {
    return this.#engine.session_id !== undefined;
  }

  /** How many saves and other writes are waiting or under way, those of children included. */
  get pending(): number {
    return this.#engine.pipeline.pending;
  }

  /**
   * The newest failure that is not yet made good, of children too: of a save, a draft, a rename or a flush, until that
   * succeeds or the session is deleted; of anything else, until the next save that succeeds.
   */
  get last_error(): unknown {
    return this.#engine.events.failures.newest;
  }

  /**
   * The turn that was interrupted, or is under way: its prompt, and what there is of the answer. `undefined` as soon as
   * the conversation holds the turn, with stores that keep no drafts, and with `drafts: false`.
   */
  get draft(): SessionDraft | undefined {
    return this.#engine.draft;
  }

  /**
   * Sends the prompt of the interrupted turn again, as `send_message` of the conversation does, and resolves likewise.
   * @throws {SessionError} `invalid_state` where there is no draft, or the conversation is busy.
   */
  async resume_draft(): ReturnType<Conversation["send_message"]> {
    return this.#engine.resume_draft();
  }

  /**
   * Drops the interrupted turn; resolves when it is removed.
   * @throws {SessionError} `invalid_state` (no active session), `storage`.
   */
  async discard_draft(): Promise<void> {
    await this.#engine.discard_draft();
  }

  /**
   * Begins a session and returns its id; a conversation that holds messages is cleared. The record is written in the
   * background; with neither a label nor `auto_save` nothing is written.
   * @throws {SessionError} `invalid_state` where the conversation holds messages and is busy.
   */
  start_new(label?: string): string {
    check_label(label);
    return this.#engine.start_new(label);
  }

  /**
   * Goes on in a new session that begins with what the parent holds, up to and including `message_id`, and puts that
   * into the conversation. With `detached` the parent is named for provenance only, and the conversation stays as it
   * is. Returns the new session's id.
   * @throws {SessionError} `not_found`, `invalid_input` (unknown `message_id`), `corrupt`, `lineage`,
   *   `invalid_state` (conversation busy), `storage`: nothing changed.
   */
  async fork(parent_id: string, options: ForkOptions = {}): Promise<string> {
    return this.#engine.fork(parent_id, options);
  }

  /**
   * Puts a stored session, with what it inherits, into the conversation and goes on in it. Without an id: the newest
   * root or fork, failing that whatever else there is, failing that a new session; one that is damaged is reported
   * (`lifecycle_error`) and passed over. What a session's parents no longer hold is reported, the rest loaded.
   * @throws {SessionError} `not_found`, `corrupt`, `lineage`, `invalid_state` (conversation busy), `storage`:
   *   nothing changed.
   */
  async load(id?: string): Promise<void> {
    return this.#engine.load(id);
  }

  /**
   * Stores the conversation as it is at the call, edits in place included, with the metadata given, and brings the
   * at-rest form up to date. Resolves when it is stored. Costs O(all messages). With a `parent_id` the session inherits
   * what the parent holds, up to `fork_message_id`, where the conversation begins with that; else it holds everything
   * itself, and the parent is named for provenance.
   * @throws {SessionError} `invalid_state` where no session is active, `invalid_input` for what JSON cannot hold,
   *   `lineage` where the session would descend from itself, `conflict`, `storage`.
   */
  async save(metadata: SaveMetadata = {}): Promise<void> {
    check_label(metadata.label);
    return this.#engine.save(metadata);
  }

  /**
   * The metadata of the sessions in the store, in its own order; with a query newest first, filtered and paged.
   * Waits for what was asked for before.
   */
  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    await this.#engine.pipeline.settled();
    const entries = await this.#store.list(query);
    return query === undefined ? entries : apply_query(entries, query);
  }

  /**
   * Deletes a session. Returns whether there was one. No fork loses what it inherits, unless `forks` is `"cascade"`.
   * The current session's conversation is cleared.
   * @throws {SessionError} `invalid_state` where it is the current one and the conversation is busy, or where there
   *   are forks and these are to refuse; `storage`: nothing is deleted.
   */
  async delete(id: string, { forks = "keep" }: DeleteOptions = {}): Promise<boolean> {
    require_fork_policy(forks);
    return this.#engine.delete(id, forks);
  }

  /**
   * Goes on from an earlier message, inclusive, under the same id: in the session that is the current one behind what
   * was asked for before. What came after it lives on as a fork, with whose id this resolves (`undefined`: there was
   * nothing after it); loading that fork is the undo.
   * @throws {SessionError} `invalid_input` (unknown message), `invalid_state` (no active session, conversation busy),
   *   `conflict`, `storage`: nothing changed, unless the store failed to say that it had made the change; no message is
   *   lost then.
   */
  async rewind(message_id: string): Promise<string | undefined> {
    return this.#engine.rewind(message_id);
  }

  /**
   * Gives a session a label, which no automatic one replaces.
   * @throws {SessionError} `not_found`, `invalid_input` where the label is not a string, `storage`.
   */
  async rename(id: string, label: string): Promise<void> {
    check_label(label, true);
    return this.#engine.rename(id, label);
  }

  /**
   * Resolves when everything asked for so far, children included, is stored and its at-rest form is up to date. What
   * failed to be stored before is tried again.
   * @throws what the store throws, where something still cannot be stored.
   */
  async flush(): Promise<void> {
    return this.#engine.flush();
  }

  on<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): this {
    this.#engine.events.on(event, listener);
    return this;
  }

  off<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): this {
    this.#engine.events.off(event, listener);
    return this;
  }

  /** Stops listening at once and emits `dispose`. What was asked for is still written, and listeners hear of it. */
  [Symbol.dispose](): void {
    this.#engine.dispose();
  }

  /**
   * Waits for a turn in flight to end, in whatever way, then flushes and disposes.
   * @throws what `flush` throws; the manager is disposed all the same.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    return this.#engine.dispose_after_turn();
  }
}

function check_choice(name: string, given: unknown, choices: readonly unknown[]): void {
  if (!choices.includes(given)) {
    throw new SessionError("invalid_input", `${name} must be one of ${JSON.stringify(choices)}, not ${String(given)}`);
  }
}

function check_label(label: unknown, required = false): void {
  if (typeof label !== "string" && (required || label !== undefined)) {
    throw new SessionError("invalid_input", "a label must be a string");
  }
}
