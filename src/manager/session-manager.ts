import type { CheckpointState, Conversation, Usage } from "@simulacra-ai/core";
import { disposed, has_code, SessionError } from "../errors.js";
import { lineage_of } from "../fork-rules.js";
import { metadata_to_plain } from "../json.js";
import { apply_query } from "../metadata.js";
import { trace_manager } from "../tracing.js";
import type { SessionDraft, SessionMetadata, SessionQuery, SessionStore } from "../types.js";
import { Checkpoints } from "./checkpoints.js";
import { ManagedConversation } from "./conversation.js";
import { CurrentSession, type ManagerParts } from "./current-session.js";
import { Drafts } from "./drafts.js";
import { ManagerEvents } from "./events.js";
import { Family } from "./family.js";
import { delete_session, require_fork_policy } from "./operations/delete.js";
import { fork_session } from "./operations/fork.js";
import { load_session } from "./operations/load.js";
import { rewind_current } from "./operations/rewind.js";
import { SaveQueue } from "./save-queue.js";
import type { SessionState } from "./session-state.js";
import { StoreAccess } from "./store-access.js";
import type {
  DeleteOptions,
  ForkOptions,
  SaveMetadata,
  SessionConversation,
  SessionManagerEvents,
  SessionManagerOptions,
} from "./types.js";

/** Runtimes and test runners may lack these symbols. Compiled `using` then looks for the registered ones. */
const DISPOSE: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for("Symbol.dispose");
const ASYNC_DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

/**
 * Makes a conversation durable: listens to it and keeps its session in a store. Everything that a manager writes goes
 * through one ordered queue. `load`, `fork`, `rewind`, `rename` and `delete` run behind the calls before them. Child
 * conversations get sessions of their own.
 *
 * @example
 * ```ts
 * await using manager = new SessionManager(new FileSessionStore("./sessions"), conversation);
 * await manager.load(); // the newest session, or a new one
 * await conversation.prompt("Where were we?");
 * ```
 */
export class SessionManager {
  readonly #parts: ManagerParts;
  readonly #checkpoints = new Checkpoints<SessionState>();
  #is_disposed = false;

  /** @throws {SessionError} `invalid_input` for an option that cannot be. */
  constructor(store: SessionStore, conversation: SessionConversation, options?: SessionManagerOptions);
  /** @internal The manager of a child. It shares the family, and reports its errors to the parent. */
  constructor(
    store: SessionStore,
    conversation: SessionConversation,
    options: SessionManagerOptions,
    parent: ManagerParts,
  );
  constructor(
    given_store: SessionStore,
    given_conversation: SessionConversation,
    given_options: SessionManagerOptions = {},
    parent?: ManagerParts,
  ) {
    const options = complete_options(given_options);
    const family = parent?.family ?? new Family<SaveQueue>();
    const events = new ManagerEvents(parent?.events);
    const store = new StoreAccess(given_store, (error) => events.tell(error, "list"));
    const queue = new SaveQueue(store, events, options, family, parent?.queue);
    const conversation = new ManagedConversation(given_conversation, {
      turn_began: () => this.#parts.current.turn_began(),
      prompt_send: (prompt) => this.#parts.drafts.prompt_sent(prompt),
      message_update: (partial) => this.#parts.drafts.answer_updated(partial),
      at_rest: () => this.#parts.drafts.turn_may_have_ended(),
      message_complete: (usage) => this.#message_complete(usage),
      create_child: (child) => this.#create_child(child),
      checkpoint_begin: (child) => this.#checkpoints.begin(child, this.#parts.current.session),
      checkpoint_complete: (state) => this.#checkpoint_complete(state),
      dispose: () => this.#dispose(),
      failed: (error, operation) => events.report(error, operation, { session_id: this.current_session_id }),
    });
    const drafts = new Drafts(store, queue, events, options, () => this.#parts.current.session);
    const parts = { store, queue, events, family, conversation, drafts, options };
    this.#parts = { ...parts, current: new CurrentSession(parts) };
  }

  /** The session that the conversation is saved to, if one is active. */
  get current_session_id(): string | undefined {
    return this.#parts.current.id;
  }

  /** True when a session is active. */
  get is_loaded(): boolean {
    return this.#parts.current.session !== undefined;
  }

  /** The number of saves and other writes that wait or run, those of children included. */
  get pending(): number {
    return this.#parts.queue.pending;
  }

  /**
   * The newest failure that is not yet made good, of children too: of a save, a draft, a rename or a flush, until that
   * succeeds or the session is deleted; of anything else, until the next save that succeeds.
   */
  get last_error(): unknown {
    return this.#parts.events.failures.newest ?? this.#parts.family.unstorable_turn();
  }

  /**
   * The turn that was interrupted, or is under way: its prompt, and what there is of the answer. `undefined` as soon as
   * the conversation holds the prompt, with stores that keep no drafts, and with `drafts: false`. Costs O(messages).
   */
  get draft(): SessionDraft | undefined {
    const { current, drafts, conversation } = this.#parts;
    return current.session?.draft && drafts.draft_of(current.session, conversation.messages);
  }

  /**
   * Sends the prompt of the interrupted turn again, as `send_message` of the conversation does, and resolves likewise.
   * @throws {SessionError} `invalid_state` where there is no draft, or the conversation is busy.
   */
  async resume_draft(): ReturnType<Conversation["send_message"]> {
    this.#require_open();
    const { current, conversation } = this.#parts;
    const session_id = current.require().id;
    const { draft } = this;
    if (draft === undefined) {
      throw new SessionError("invalid_state", "there is no draft", { session_id });
    }
    return conversation.send(draft.prompt.content);
  }

  /**
   * Drops the interrupted turn. Resolves when its draft is removed.
   * @throws {SessionError} `invalid_state` (no active session), `storage`.
   */
  async discard_draft(): Promise<void> {
    const { current, drafts } = this.#parts;
    await drafts.discard(current.require());
  }

  /**
   * Begins a session and returns its id. A conversation that holds messages is cleared. The record is written in the
   * background; with neither a label nor `auto_save` nothing is written. A `load`, `fork`, `rewind` or `delete` of the
   * current session that waits fails with `invalid_state`.
   * @throws {SessionError} `invalid_state` while a turn is in flight: wait until the conversation is idle, or cancel.
   */
  start_new(label?: string): string {
    check_label(label);
    this.#require_open();
    const { current, conversation } = this.#parts;
    conversation.require_idle();
    current.store_turns_later();
    conversation.session_begins();
    return current.begin(label).id;
  }

  /**
   * Goes on in a new session that begins with the parent's messages, up to and including `message_id` (its last
   * occurrence), and puts them into the conversation. With `detached` the parent is named for provenance only, and the
   * conversation stays as it is. Returns the new session's id.
   * @throws {SessionError} `not_found`, `invalid_input` (unknown `message_id`), `corrupt`, `lineage`,
   *   `invalid_state` (conversation busy, or it went on meanwhile), `storage`: nothing changed.
   */
  async fork(parent_id: string, options: ForkOptions = {}): Promise<string> {
    this.#require_open();
    const { conversation, queue } = this.#parts;
    if (!options.detached) {
      conversation.require_idle();
    }
    const { epoch } = conversation;
    const fork = () =>
      queue.enqueue(async () => {
        const id = await fork_session(this.#parts, parent_id, options, epoch);
        if (options.detached) {
          this.#auto_save(); // a turn may have been completed meanwhile
        }
        return id;
      });
    return trace_manager({ operation: "fork", session_id: parent_id }, fork, (fork_id) => ({ fork_id }));
  }

  /**
   * Puts a stored session, with the messages that it inherits, into the conversation and goes on in it. Without an id:
   * the newest root or fork, failing that any other session, failing that a new session. Damaged sessions are reported
   * (`lifecycle_error`) and passed over. Messages that the session's parents no longer hold are reported, the rest loaded.
   * @throws {SessionError} `not_found`, `corrupt` (without an id: every session is damaged), `lineage`, `invalid_state`
   *   (conversation busy, or it went on meanwhile), `storage`: nothing changed.
   */
  async load(id?: string): Promise<void> {
    this.#require_open();
    const { conversation, queue } = this.#parts;
    conversation.require_idle();
    const { epoch } = conversation;
    const load = () => queue.enqueue(() => load_session(this.#parts, id, epoch));
    const learn = () => (this.current_session_id === undefined ? {} : { session_id: this.current_session_id });
    return trace_manager({ operation: "load", ...(id !== undefined && { session_id: id }) }, load, learn);
  }

  /**
   * Stores the conversation as it is at the call, edits in place included, with the metadata given, and brings the
   * at-rest form up to date. Resolves when it is stored. Costs O(all messages). With a `parent_id` the session inherits
   * the parent's messages, up to `fork_message_id`, where the conversation begins with them; otherwise it holds
   * everything itself, and the parent is named for provenance.
   * @throws {SessionError} `invalid_state` where no session is active, `invalid_input` for a turn that JSON cannot hold
   *   (the rest is stored), `lineage` where the session would descend from itself, `conflict`, `storage`.
   */
  async save(metadata: SaveMetadata = {}): Promise<void> {
    check_label(metadata.label);
    const { current, conversation, queue } = this.#parts;
    const session = current.require();
    const source = metadata.label !== undefined && { label_source: "user" };
    const given = metadata_to_plain({ ...metadata, ...source }, session.id);
    const live = conversation.messages;
    current.note(session, live);
    const { version, left_out } = queue.want_exactly(session, live, { metadata: given, lineage: lineage_of(given) });
    return queue.enqueue(async () => {
      await queue.save_awaited(session, version);
      await queue.flush_session(session.id);
      if (left_out[0] !== undefined) {
        throw left_out[0].error;
      }
    });
  }

  /**
   * Lists the metadata of the sessions in the store, in its own order; with a query newest first, filtered and paged.
   * Waits for the calls before it.
   */
  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    const { queue, store } = this.#parts;
    await queue.settled();
    const entries = await store.list(query);
    return query === undefined ? entries : apply_query(entries, query);
  }

  /**
   * Deletes a session. Returns true where there was one. No fork loses the messages that it inherits, unless `forks` is
   * `"cascade"`. The current session's conversation is cleared.
   * @throws {SessionError} `invalid_state` where it is the current one and the conversation is busy or went on meanwhile,
   *   or where there are forks and these are to refuse; `storage`: nothing is deleted.
   */
  async delete(id: string, { forks = "keep" }: DeleteOptions = {}): Promise<boolean> {
    require_fork_policy(forks);
    const { conversation, queue } = this.#parts;
    const current_id = this.current_session_id;
    if (current_id === id) {
      conversation.require_idle();
    }
    const { epoch } = conversation;
    return queue.enqueue(() => delete_session(this.#parts, { id, policy: forks, epoch, current_id }));
  }

  /**
   * Goes on from an earlier message, inclusive (its last occurrence), under the same id, in the session that is the
   * current one when the calls before it have ended. Moves later messages to a fork and resolves to the fork's id
   * (`undefined` where there are none). Load the fork to undo.
   * @throws {SessionError} `invalid_input` (unknown message), `invalid_state` (no active session, conversation busy, or it
   *   went on meanwhile), `conflict`, `storage`: nothing changed, unless the store failed to say that it had made the
   *   change; no message is lost then.
   */
  async rewind(message_id: string): Promise<string | undefined> {
    this.#require_open();
    const { conversation, current, queue } = this.#parts;
    current.require();
    conversation.require_idle();
    const { epoch } = conversation;
    return queue.enqueue(() => rewind_current(this.#parts, message_id, epoch));
  }

  /**
   * Gives a session a label, which no automatic one replaces.
   * @throws {SessionError} `not_found`, `invalid_input` where the label is not a string, `storage`.
   */
  async rename(id: string, label: string): Promise<void> {
    check_label(label, true);
    const { queue, family } = this.#parts;
    return queue.enqueue(() => family.state_of(id).exclusively(() => this.#rename(id, label)));
  }

  /**
   * Waits for pending saves, children included, retries failed ones, and brings every at-rest form up to date.
   * @throws the error of the store where something still cannot be stored; `invalid_input` as long as the conversation
   *   holds a turn that JSON cannot hold.
   */
  async flush(): Promise<void> {
    this.#parts.drafts.refresh();
    await this.#parts.queue.flush();
  }

  on<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): this {
    this.#parts.events.on(event, listener);
    return this;
  }

  off<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): this {
    this.#parts.events.off(event, listener);
    return this;
  }

  /** Stops listening at once and emits `dispose`. Pending saves are still written, and listeners hear of them. */
  [DISPOSE](): void {
    this.#dispose();
  }

  /**
   * Waits for a turn in flight to end, in whatever way, then flushes and disposes.
   * @throws the errors of `flush`; the manager is disposed all the same.
   */
  async [ASYNC_DISPOSE](): Promise<void> {
    if (!this.#is_disposed) {
      await this.#parts.conversation.turn_ended();
    }
    try {
      await this.flush();
    } finally {
      this.#dispose();
    }
  }

  #dispose(): void {
    if (!this.#is_disposed) {
      this.#is_disposed = true;
      this.#parts.conversation.detach();
      this.#parts.drafts.turn_abandoned();
      this.#parts.events.emit("dispose");
    }
  }

  #message_complete(usage: Usage | undefined): void {
    const { current, drafts } = this.#parts;
    drafts.turn_completed();
    current.start_automatically();
    if (current.session === undefined) {
      current.turn_without_session(usage);
    } else if (usage) {
      current.session.note_usage(usage);
    }
    this.#auto_save();
  }

  #checkpoint_complete(state: CheckpointState | undefined): void {
    const { current, conversation } = this.#parts;
    const is_here = conversation.messages.some((message) => message.id === state?.message_id);
    if (this.#checkpoints.began_elsewhere(state, current.session) || (state && !is_here)) {
      conversation.checkpoint_state = current.session?.checkpoint_state;
    } else {
      this.#auto_save();
    }
  }

  #create_child(child: Conversation): void {
    const { store, current, options } = this.#parts;
    if (current.session === undefined) {
      return;
    }
    const checkpoint = child.is_checkpoint;
    const manager = new SessionManager(
      store.given,
      child,
      { ...options, auto_slug: options.auto_slug && !checkpoint, drafts: options.drafts && !checkpoint },
      this.#parts,
    );
    const kind = checkpoint ? ({ kind: "checkpoint", is_checkpoint: true } as const) : ({ kind: "child" } as const);
    const session = manager.#parts.current.create({ ...kind, detached: true });
    session.parent = current.session;
    manager.#parts.current.take_over(session);
    manager.#parts.current.want();
  }

  #auto_save(): void {
    if (this.#parts.options.auto_save) {
      this.#parts.current.want();
    }
  }

  /** Runs while nothing else writes the session. */
  async #rename(id: string, label: string): Promise<void> {
    const { store, events, family, queue, current } = this.#parts;
    const user_label = { label, label_source: "user" } as const;
    const known = new Set(family.dirty_states([id]).map(([, state]) => state));
    if (current.session?.id === id) {
      known.add(current.session);
    }
    const [unsaved] = [...known].filter(({ stored }) => stored === undefined);
    if (unsaved !== undefined) {
      unsaved.note_now(user_label);
      return;
    }
    try {
      await events.failures.watch("rename", id, () => store.update(id, user_label));
    } catch (error) {
      if (has_code(error, "not_found")) {
        events.failures.made_good("rename", id); // there is nothing to be renamed
      }
      throw error;
    }
    queue.wrote(id);
    family.state_of(id).user_label = label;
    known.forEach((session) => session.learn(user_label));
  }

  #require_open(): void {
    if (this.#is_disposed) {
      throw disposed();
    }
  }
}

function complete_options(given: SessionManagerOptions): Required<SessionManagerOptions> {
  const { auto_save = true, auto_start = false, auto_slug = true, on_conflict = "fork", on_replace = "keep" } = given;
  const { drafts = true, draft_interval_ms = 1000 } = given;
  check_choice("on_conflict", on_conflict, ["fork", "error"]);
  check_choice("on_replace", on_replace, ["keep", "overwrite"]);
  if (typeof draft_interval_ms !== "number" || !(draft_interval_ms >= 0)) {
    throw new SessionError("invalid_input", "draft_interval_ms must be a number of milliseconds");
  }
  return { auto_save, auto_start, auto_slug, on_conflict, on_replace, drafts, draft_interval_ms };
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
