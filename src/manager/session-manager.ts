import type { CheckpointState, Conversation, Usage } from "@simulacra-ai/core";
import { disposed, has_code, invalid_input, invalid_state } from "../errors.js";
import { metadata_to_plain } from "../json.js";
import { has_message } from "../messages.js";
import { apply_query } from "../metadata.js";
import { trace_manager } from "../tracing.js";
import type { SessionDraft, SessionMetadata, SessionQuery, SessionStore } from "../types.js";
import { Checkpoints } from "./checkpoints.js";
import { type Epoch, ManagedConversation } from "./conversation.js";
import { CurrentSession, type ManagerParts } from "./current-session.js";
import { DISPOSABLE_BASE } from "../disposal.js";
import { Drafts } from "./drafts.js";
import { ManagerEvents } from "./events.js";
import { delete_session } from "./operations/delete.js";
import { fork_session } from "./operations/fork.js";
import { load_session } from "./operations/load.js";
import { rewind_current } from "./operations/rewind.js";
import { Family, SaveQueue } from "./save-queue.js";
import { StoreAccess } from "./store-access.js";
import type {
  DeleteOptions,
  ForkOptions,
  SaveMetadata,
  SessionConversation,
  SessionManagerEvents,
  SessionManagerOptions,
} from "./types.js";

// Where to add something new:
// - an option: `types.ts`, and `complete_options` below
// - an event for applications: `types.ts`; emitted through `events.ts`
// - an event of the conversation: `conversation.ts`; handled in the constructor below
// - a call that reads the store and changes the conversation: `operations/`
// - metadata taken from the conversation: a `note_` method of `session-state.ts`, called in `current-session.ts`
// - a step of a write: `save.ts`; the order of writes: `save-queue.ts`; a method of the store: `store-access.ts`
// - a fact that the managers of parent and children share: `SharedSession` (about one id), `Family` (about all)

/**
 * Makes a conversation durable: listens to the conversation and stores its session. Session writes go through one
 * ordered queue per manager. Draft writes bypass the queue. `load`, `fork`, `rewind`, `rename` and `delete` run after
 * the calls before them. Child conversations get sessions of their own.
 *
 * @example
 * ```ts
 * await using manager = new SessionManager(new FileSessionStore("./sessions"), conversation);
 * await manager.load(); // the newest session, or a new one
 * await conversation.prompt("Where were we?");
 * ```
 */
export class SessionManager extends DISPOSABLE_BASE {
  readonly #parts: ManagerParts;
  readonly #checkpoints = new Checkpoints();

  /** @throws {SessionError} `invalid_input` for an invalid option. */
  constructor(store: SessionStore, conversation: SessionConversation, options?: SessionManagerOptions);
  /** @internal Creates the manager of a child, which shares the family and reports errors to the parent. */
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
    super({ dispose: () => this.#dispose(), close: () => this.#close() });
    const options = complete_options(given_options);
    const family = parent?.family ?? new Family();
    const events = new ManagerEvents(parent?.events);
    const store = new StoreAccess(given_store, events, (id) => family.shared_of(id).mark_materialized());
    const queue = new SaveQueue({ store, events, family, options }, parent?.queue);
    const conversation = new ManagedConversation(given_conversation, {
      turn_began: () => this.#parts.current.turn_began(),
      prompt_send: (prompt) => this.#parts.drafts.prompt_sent(prompt),
      message_update: (partial) => this.#parts.drafts.answer_updated(partial),
      turn_may_have_ended: () => this.#parts.drafts.turn_may_have_ended(),
      message_complete: (usage) => this.#message_complete(usage),
      create_child: (child) => this.#create_child(child),
      checkpoint_begin: (child) => this.#checkpoints.begin(child, this.#parts.current.session),
      checkpoint_complete: (state) => this.#checkpoint_complete(state),
      dispose: () => this.#dispose(),
      failed: (error, operation) => events.report_failure(error, operation, { session_id: this.current_session_id }),
    });
    const drafts = new Drafts({ store, queue, events, family, options }, () => this.#parts.current.session);
    const parts = { store, queue, events, family, conversation, drafts, options };
    this.#parts = { ...parts, current: new CurrentSession(parts) };
  }

  /** The session that the conversation is saved to, if one is active. */
  get current_session_id(): string | undefined {
    return this.#parts.current.session?.id;
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
   * The newest failure that still counts, of children, too. The failure of a save, a draft, a rename or a flush counts
   * until that succeeds or the session is deleted. Any other failure counts until the next successful save.
   */
  get last_error(): unknown {
    return this.#parts.events.newest_failure ?? this.#parts.family.unstorable_turn();
  }

  /**
   * The turn that was interrupted, or is under way: the prompt, and the answer so far. `undefined` as soon as the
   * conversation holds the prompt, with stores without drafts, and with `drafts: false`. Costs O(messages).
   */
  get draft(): SessionDraft | undefined {
    const { current, drafts, conversation } = this.#parts;
    return current.session && drafts.draft_of(current.session, conversation);
  }

  /**
   * Sends the prompt of the interrupted turn again, and resolves as `send_message` of the conversation.
   * @throws {SessionError} `invalid_state` if there is no draft, or the conversation is busy.
   */
  async resume_draft(): ReturnType<Conversation["send_message"]> {
    this.#require_open();
    const { current, conversation } = this.#parts;
    const session_id = current.require().id;
    const { draft } = this;
    if (!draft) {
      throw invalid_state("there is no draft", { session_id });
    }
    return conversation.send(draft.prompt.content);
  }

  /**
   * Drops the interrupted turn and removes the draft.
   * @throws {SessionError} `invalid_state` (no active session), `storage`.
   */
  async discard_draft(): Promise<void> {
    const { current, drafts } = this.#parts;
    await drafts.discard(current.require());
  }

  /**
   * Begins a session and returns its id. A conversation that holds messages is cleared. The record is written in the
   * background; with neither a label nor `auto_save` nothing is written. Calls that wait to change the conversation
   * (`load`, `fork`, `rewind`, `delete` of the current session) fail with `invalid_state`.
   * @throws {SessionError} `invalid_state` while a turn is in flight: wait until the conversation is idle, or cancel.
   */
  start_new(label?: string): string {
    check_label(label);
    this.#require_open();
    const { current, conversation } = this.#parts;
    conversation.require_idle();
    current.store_turns_later();
    conversation.count_start();
    return current.begin(label).id;
  }

  /**
   * Creates a session that inherits the parent's messages, up to and including the last occurrence of `message_id`.
   * Puts these messages into the conversation and makes the session current. With `detached` the parent is named for
   * provenance only, and the conversation keeps its messages. Resolves to the new session's id.
   * @throws {SessionError} `not_found`, `invalid_input` (unknown `message_id`), `corrupt`, `lineage`, `invalid_state`
   *   (conversation busy, or a turn began or ended meanwhile), `storage`. The conversation is unchanged then.
   */
  async fork(parent_id: string, options: ForkOptions = {}): Promise<string> {
    this.#require_open();
    const fork = () =>
      this.#operate(!options.detached, (epoch) => fork_session(this.#parts, parent_id, options, epoch));
    return trace_manager({ operation: "fork", session_id: parent_id }, fork, (fork_id) => ({ fork_id }));
  }

  /**
   * Puts a stored session, inherited messages included, into the conversation and makes the session current. Without an
   * id: the newest root or fork, failing that any other session, failing that a new session. Damaged sessions are
   * reported (`lifecycle_error`) and skipped. Inherited messages that are gone are reported, the rest loaded.
   * @throws {SessionError} `not_found`, `corrupt` (without an id: every session is damaged), `lineage`, `invalid_state`
   *   (conversation busy, or a turn began or ended meanwhile), `storage`. The conversation is unchanged then.
   */
  async load(id?: string): Promise<void> {
    this.#require_open();
    const load = () => this.#operate(true, (epoch) => load_session(this.#parts, id, epoch));
    const learn = () => (this.current_session_id === undefined ? {} : { session_id: this.current_session_id });
    return trace_manager({ operation: "load", ...(id !== undefined && { session_id: id }) }, load, learn);
  }

  /**
   * Stores the conversation as it is at the call, edits in place included, with the given metadata. Then compacts the
   * files. Costs O(all messages). With a `parent_id` the session inherits the parent's messages up to `fork_message_id`
   * if the conversation begins with these messages. Otherwise the session holds all messages itself, and names the
   * parent for provenance only.
   * @throws {SessionError} `invalid_state` if no session is active, `invalid_input` for a turn that JSON cannot hold
   *   (the rest is stored), `lineage` if the session would descend from itself, `conflict`, `storage`.
   */
  async save(metadata: SaveMetadata = {}): Promise<void> {
    check_label(metadata.label);
    const { current, conversation, queue, family } = this.#parts;
    const session = current.require();
    const source = metadata.label !== undefined && { label_source: "user" };
    const given = metadata_to_plain({ ...metadata, ...source }, session.id);
    const live = conversation.messages;
    current.note_derived_metadata(session, live);
    const version = session.want(live, given);
    const left_out = session.history.take_left_out(); // reported to the caller
    left_out.forEach(({ content }) => family.note_unstorable(session, content));
    queue.update_dirty(session);
    return queue.enqueue(async () => {
      await queue.save_awaited(session, version);
      await queue.flush_session(session.id);
      if (left_out[0]) {
        throw left_out[0].error;
      }
    });
  }

  /**
   * Lists the metadata of the sessions in the store. With a query: newest first, filtered and paged. Without: in the
   * store's order. Waits for the calls before it.
   */
  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    const { queue, store } = this.#parts;
    await queue.settled();
    const entries = await store.list(query);
    return query === undefined ? entries : apply_query(entries, query);
  }

  /**
   * Deletes a session. Resolves to true if the session existed. No fork loses inherited messages, unless `forks` is
   * `"cascade"`. Clears the conversation of the current session.
   * @throws {SessionError} `invalid_state` if the session has forks (with `"refuse"`), or is the current one and the
   *   conversation is busy, or a turn began or ended meanwhile; `storage`: nothing is deleted.
   */
  async delete(id: string, { forks = "keep" }: DeleteOptions = {}): Promise<boolean> {
    check_choice("forks", forks, ["keep", "refuse", "cascade"]);
    const sessions = this.#parts.current.sessions.map((session) => ({ session, id: session.id }));
    const was_current = (one: string) => sessions.some((known) => known.id === one || known.session.id === one);
    return this.#operate(was_current(id), (epoch) =>
      delete_session(this.#parts, { id, policy: forks, epoch, was_current }),
    );
  }

  /**
   * Cuts the session that is current after the calls before this one. Keeps the messages through the last occurrence of
   * `message_id`, and moves later ones to a fork. Resolves to the fork's id (`undefined` without later messages). Load
   * the fork to undo.
   * @throws {SessionError} `invalid_input` (unknown message), `invalid_state` (no active session, conversation busy, or
   *   a turn began or ended meanwhile), `conflict`, `storage`. The conversation is unchanged then; no message is lost.
   */
  async rewind(message_id: string): Promise<string | undefined> {
    this.#require_open();
    this.#parts.current.require();
    return this.#operate(true, (epoch) => rewind_current(this.#parts, message_id, epoch));
  }

  /**
   * Labels a session. No automatic label replaces this one.
   * @throws {SessionError} `not_found`, `invalid_input` if the label is not a string, `storage`.
   */
  async rename(id: string, label: string): Promise<void> {
    check_label(label, true);
    const { queue, family } = this.#parts;
    return queue.enqueue(() => family.shared_of(id).writes.run(() => this.#rename(id, label)));
  }

  /**
   * Waits for pending saves, children included, retries failed ones, and compacts the files.
   * @throws the store's error if a save still fails; `invalid_input` while there is a turn that JSON cannot hold.
   */
  async flush(): Promise<void> {
    this.#parts.drafts.write_now();
    await this.#parts.queue.flush();
  }

  on<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): this {
    this.#parts.events.emitter.on(event, listener);
    return this;
  }

  off<E extends keyof SessionManagerEvents>(event: E, listener: (...args: SessionManagerEvents[E]) => void): this {
    this.#parts.events.emitter.off(event, listener);
    return this;
  }

  async #close(): Promise<void> {
    if (!this.#parts.conversation.is_disposed) {
      await this.#parts.conversation.turn_ended();
    }
    try {
      await this.flush();
    } finally {
      this.#dispose();
    }
  }

  /** Runs an operation after the calls before. The operation compares the epoch before it changes the conversation. */
  #operate<T>(needs_idle: boolean, operation: (epoch: Epoch) => Promise<T>): Promise<T> {
    const { conversation, queue } = this.#parts;
    if (needs_idle) {
      conversation.require_idle();
    }
    const { epoch } = conversation;
    return queue.enqueue(() => operation(epoch));
  }

  #dispose(): void {
    if (!this.#parts.conversation.is_disposed) {
      this.#parts.conversation.stop_listening();
      this.#parts.drafts.turn_abandoned();
      this.#parts.queue.flush_written(this.#parts.current.sessions);
      this.#parts.events.emit("dispose");
    }
  }

  #message_complete(usage: Usage | undefined): void {
    const { current, drafts } = this.#parts;
    drafts.turn_completed();
    current.start_automatically();
    if (!current.session) {
      current.sessionless_turn_completed(usage);
    } else if (usage) {
      current.session.note_usage(usage);
    }
    current.auto_save();
  }

  #checkpoint_complete(state: CheckpointState | undefined): void {
    const { current, conversation } = this.#parts;
    const is_here = has_message(conversation.messages, state?.message_id);
    if (this.#checkpoints.finish(state, current.session) || (state && !is_here)) {
      conversation.checkpoint_state = current.session?.checkpoint_state;
    } else {
      current.auto_save();
    }
  }

  #create_child(child: Conversation): void {
    const { store, current, options } = this.#parts;
    if (!current.session) {
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
    manager.#parts.current.set_current(session);
    manager.#parts.current.request_save();
  }

  /** Runs while no other write of the session does. */
  async #rename(id: string, label: string): Promise<void> {
    const { store, events, family, current } = this.#parts;
    const user_label = { label, label_source: "user" } as const;
    const known = new Set(family.dirty_sessions([id]).map(([, session]) => session));
    if (current.session?.id === id) {
      known.add(current.session);
    }
    const [unsaved] = [...known].filter(({ stored }) => stored === undefined);
    if (unsaved) {
      return unsaved.note_now(user_label);
    }
    try {
      await events.watch("rename", id, () => store.update(id, user_label));
    } catch (error) {
      if (has_code(error, "not_found")) {
        events.clear_failure("rename", id); // there is no session to rename
      }
      throw error;
    }
    family.unflushed.add(id);
    const shared = family.shared_of(id);
    shared.known = { ...shared.known, ...user_label };
    known.forEach((session) => session.learn(user_label));
  }

  #require_open(): void {
    if (this.#parts.conversation.is_disposed) {
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
    throw invalid_input("draft_interval_ms must be a number of milliseconds");
  }
  return { auto_save, auto_start, auto_slug, on_conflict, on_replace, drafts, draft_interval_ms };
}

function check_choice(name: string, given: unknown, choices: readonly unknown[]): void {
  if (!choices.includes(given)) {
    throw invalid_input(`${name} must be one of ${JSON.stringify(choices)}, not ${String(given)}`);
  }
}

function check_label(label: unknown, required = false): void {
  if (typeof label !== "string" && (required || label !== undefined)) {
    throw invalid_input("a label must be a string");
  }
}
