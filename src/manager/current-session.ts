import { randomUUID } from "node:crypto";
import type { Message, Usage } from "@simulacra-ai/core";
import { no_active_session, SessionError } from "../errors.js";
import type { ResolvedSession } from "../lineage.js";
import type { MetadataPatch } from "../metadata.js";
import type { ManagedConversation } from "./conversation.js";
import type { Drafts } from "./drafts.js";
import { messages_event, type ManagerEvents } from "./events.js";
import type { Family } from "./family.js";
import type { Messages } from "../messages.js";
import { History } from "./history.js";
import type { SaveQueue } from "./save-queue.js";
import { SessionState } from "./session-state.js";
import type { StoreAccess, Written } from "./store-access.js";
import type { SessionManagerOptions } from "./types.js";

/** The parts of a manager, for the operations in files of their own. Those run inside its queue. */
export interface ManagerParts {
  readonly store: StoreAccess;
  readonly queue: SaveQueue;
  readonly events: ManagerEvents;
  readonly family: Family<SaveQueue>;
  readonly conversation: ManagedConversation;
  readonly current: CurrentSession;
  readonly drafts: Drafts;
  readonly options: Required<SessionManagerOptions>;
}

/** A conversation and the session that it is saved to: the one place where both change together. */
export class CurrentSession {
  readonly #parts: Omit<ManagerParts, "current">;
  #session: SessionState | undefined;
  /** Turns that completed while no session was active, and where they begin in the conversation. */
  #turns: { state: SessionState; from: number } | undefined;
  /** Sessions of such turns that take no more turns, and are not stored yet. */
  #ended: SessionState[] = [];
  /** The number of messages before the turn that is in flight without a session. */
  #turn_base: number | undefined;
  /** Turns without a session were reported. */
  #is_reported = false;
  /** The session that was active last. */
  #last_id: string | undefined;

  constructor(parts: Omit<ManagerParts, "current">) {
    this.#parts = parts;
  }

  /** The active session. One that was deleted, also through the parent of a child, is active no more. */
  get session(): SessionState | undefined {
    if (this.#session?.shared.deletion === "done") {
      this.#session = undefined;
    }
    return this.#session;
  }

  get id(): string | undefined {
    return this.session?.id;
  }

  /** @throws {SessionError} `invalid_state` where no session is active. */
  require(): SessionState {
    const { session } = this;
    if (session === undefined) {
      throw no_active_session();
    }
    return session;
  }

  /** Makes a session that is not stored yet. */
  create(metadata: MetadataPatch, inherited = 0): SessionState {
    const { family, conversation } = this.#parts;
    const session = new SessionState(family.state_of(randomUUID()), new History(conversation, inherited), {});
    session.note(metadata);
    return session;
  }

  /** Goes on in a session with the conversation as it is, its checkpoint included. */
  take_over(session: SessionState): void {
    this.#session = session;
    this.#reset();
  }

  /** Goes on in a session, or in none. The conversation's checkpoint becomes the session's. */
  activate(session: SessionState | undefined): void {
    this.#session = session;
    this.#reset();
    this.#parts.conversation.checkpoint_state = session?.checkpoint_state;
  }

  /** Begins a session with an empty conversation. */
  begin(label?: string): SessionState {
    const { conversation, queue, options } = this.#parts;
    if (conversation.messages.length > 0) {
      conversation.clear();
    }
    const session = this.create({ kind: "root", ...(label !== undefined && { label, label_source: "user" }) });
    this.activate(session);
    if (label !== undefined || options.auto_save) {
      queue.want(session, []);
    }
    return session;
  }

  /** Puts stored messages into the conversation. The session is the current one from then on. */
  show(session: SessionState, metadata: MetadataPatch, messages: Message[], from: Shown): void {
    const { conversation, drafts, events } = this.#parts;
    conversation.load(messages);
    const live = conversation.messages;
    const stored = live.slice(0, messages.length); // an application may put in more
    session.restart(History.of_stored(conversation, stored, from.inherited), metadata, from);
    session.shared.deletion = undefined;
    if (!live.some((message) => message.id === session.checkpoint_state?.message_id)) {
      session.checkpoint_state = undefined;
    }
    if ("draft" in from) {
      drafts.loaded(session, stored.length, from.draft);
    }
    this.activate(session);
    events.emit(
      "load",
      messages_event(session.id, () => messages, session.draft),
    );
  }

  /** Wants the conversation stored as it is now. */
  want(): void {
    const { session } = this;
    if (session !== undefined) {
      const live = this.#parts.conversation.messages;
      this.note(session, live);
      this.#parts.queue.want(session, live);
    }
  }

  /** Notes the metadata that follow from the conversation. */
  note(session: SessionState, live: Messages): void {
    const { conversation, drafts, options } = this.#parts;
    drafts.compare(session, live);
    if (options.auto_slug) {
      session.note_auto_label(live);
    }
    session.note_checkpoint(conversation.checkpoint_state, live);
  }

  /** Begins a session with the conversation as it is, where none is active and `auto_start` is set. */
  start_automatically(): void {
    const { options } = this.#parts;
    if (this.session === undefined && options.auto_start && options.auto_save) {
      this.take_over(this.create({ kind: "root" }));
      this.want();
    }
  }

  turn_began(): void {
    this.start_automatically();
    if (this.session === undefined) {
      this.#turn_base = this.#parts.conversation.messages.length;
    }
  }

  /** A turn completed while no session is active. It is reported once, and kept until the conversation is replaced. */
  turn_without_session(usage: Usage | undefined): void {
    const { conversation, events, options } = this.#parts;
    if (!options.auto_save) {
      return;
    }
    this.#follow_turn(conversation.messages, usage);
    if (!this.#is_reported) {
      this.#is_reported = true;
      const message = "no active session: the turn is not saved; call start_new() or load() first, or set auto_start";
      events.tell(new SessionError("invalid_state", message), "save", { session_id: this.#last_id });
    }
  }

  /** Follows the messages that came in turns. Messages that the application put in are not among them. */
  #follow_turn(live: Messages, usage: Usage | undefined): void {
    const base = this.#turn_base ?? Math.max(0, live.length - 2); // prompt and reply come together
    this.#turn_base = undefined;
    let turns = this.#turns;
    if (turns === undefined || turns.from + turns.state.history.length !== base) {
      this.#end_turns();
      turns = this.#turns = { state: this.create({ kind: "root" }), from: base };
    }
    const messages = live.slice(turns.from);
    if (usage !== undefined) {
      turns.state.note_usage(usage);
    }
    if (this.#parts.options.auto_slug) {
      turns.state.note_auto_label(messages);
    }
    turns.state.want(messages, this.#parts.queue.left_out_of(turns.state));
  }

  /** Stores the turns that have no session as a session of their own, before the conversation is replaced. */
  async store_turns(): Promise<void> {
    for (const state of this.#end_turns()) {
      await this.#parts.queue.save(state);
      this.#ended = this.#ended.filter((other) => other !== state);
    }
  }

  /** Does the same in the background. */
  store_turns_later(): void {
    this.#end_turns().forEach((state) => this.#parts.queue.save_in_background(state));
  }

  /** Turns that complete from now on become another session. Returns the sessions that are to be stored. */
  #end_turns(): SessionState[] {
    const { state } = this.#turns ?? {};
    const is_storable = state !== undefined && state.history.storable(state.history.length) > 0;
    if (is_storable && this.#parts.options.on_replace === "keep") {
      this.#ended.push(state);
      this.#parts.queue.hold(state);
    }
    this.#turns = undefined;
    return [...this.#ended];
  }

  #reset(): void {
    this.#turns = undefined;
    this.#ended = [];
    this.#is_reported = false;
    this.#last_id = this.#session?.id ?? this.#last_id;
  }
}

/** The stored state that `show` goes on from. A `draft` key hands the stored draft over. */
export interface Shown extends Pick<ResolvedSession, "inherited">, Written {
  draft?: ResolvedSession["record"]["draft"];
}
