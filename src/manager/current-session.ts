import { randomUUID } from "node:crypto";
import type { Message, Usage } from "@simulacra-ai/core";
import { invalid_state, no_active_session } from "../errors.js";
import type { MetadataPatch } from "../metadata.js";
import type { ManagedConversation } from "./conversation.js";
import type { Drafts } from "./drafts.js";
import { MessagesEvent } from "./events.js";
import { has_message, type Messages } from "../messages.js";
import { History } from "./history.js";
import type { SaveQueueParts, SaveQueue } from "./save-queue.js";
import { SessionState } from "./session-state.js";
import type { Written } from "./store-access.js";

/** The parts of a manager. The functions in `operations` run inside the manager's queue. */
export interface ManagerParts extends SaveQueueParts {
  readonly queue: SaveQueue;
  readonly conversation: ManagedConversation;
  readonly current: CurrentSession;
  readonly drafts: Drafts;
}

type Shown = Written & { inherited: number };

/** Changes a conversation and the session that stores the conversation together. */
export class CurrentSession {
  readonly #parts: Omit<ManagerParts, "current">;
  #session: SessionState | undefined;
  /** Turns that completed while no session was active. `from` is their position. Only the last entry can grow. */
  #sessionless: { session: SessionState; from: number }[] = [];
  /** The number of messages before the turn that is in flight without a session. */
  #sessionless_base: number | undefined;
  /** The context of the next `no active session` report. `undefined` after the report. */
  #next_report: { session_id: string | undefined } | undefined = { session_id: undefined };

  constructor(parts: Omit<ManagerParts, "current">) {
    this.#parts = parts;
  }

  /** The active session. A deleted session is no longer active, whichever manager deleted the session. */
  get session(): SessionState | undefined {
    if (this.#session?.shared.deletion === "done") {
      this.#session = undefined;
    }
    return this.#session;
  }

  /** The sessions that store the conversation: the active session, or those of sessionless turns. */
  get sessions(): SessionState[] {
    const { session } = this;
    return [...(session ? [session] : []), ...this.#sessionless.map((turns) => turns.session)];
  }

  /** @throws {SessionError} `invalid_state` if no session is active. */
  require(): SessionState {
    const { session } = this;
    if (!session) {
      throw no_active_session();
    }
    return session;
  }

  create(metadata: MetadataPatch, inherited = 0): SessionState {
    const { family, conversation } = this.#parts;
    const session = new SessionState(family.shared_of(randomUUID()), new History(conversation, inherited));
    session.note(metadata);
    return session;
  }

  /** Makes a session current. The conversation stays as it is. Forgets sessionless turns; call `store_turns` first. */
  set_current(session: SessionState | undefined): void {
    this.#session = session;
    this.#sessionless = [];
    this.#next_report = { session_id: session?.id ?? this.#next_report?.session_id };
  }

  /** Makes a session current and sets the conversation's checkpoint to that of the session. */
  set_current_with_checkpoint(session: SessionState | undefined): void {
    this.set_current(session);
    this.#parts.conversation.checkpoint_state = session?.checkpoint_state;
  }

  /** Begins a session with an empty conversation. */
  begin(label?: string): SessionState {
    const { conversation, queue, options } = this.#parts;
    if (conversation.messages.length > 0) {
      conversation.clear();
    }
    const session = this.create({ kind: "root", ...(label !== undefined && { label, label_source: "user" }) });
    this.set_current_with_checkpoint(session);
    if (label !== undefined || options.auto_save) {
      queue.request_save(session, []);
    }
    return session;
  }

  /** Puts messages that are stored already into the conversation, makes the session current, and emits `load`. */
  load_into_conversation(session: SessionState, metadata: MetadataPatch, messages: Message[], from: Shown): void {
    const { conversation, drafts, events } = this.#parts;
    conversation.load(messages);
    const live = conversation.messages;
    const stored = live.slice(0, messages.length); // the application may add messages in `load`
    session.restart(History.of_stored(conversation, stored, from.inherited), metadata, from);
    session.shared.deletion = undefined;
    if (!has_message(live, session.checkpoint_state?.message_id)) {
      session.checkpoint_state = undefined;
    }
    this.set_current_with_checkpoint(session);
    events.emit("load", new MessagesEvent(session.id, () => messages, drafts.draft_of(session, conversation)));
  }

  /** Marks the present state of the conversation as to be stored, and saves in the background. */
  request_save(): void {
    const { session } = this;
    if (session) {
      const live = this.#parts.conversation.messages;
      this.note_derived_metadata(session, live);
      this.#parts.queue.request_save(session, live);
    }
  }

  auto_save(): void {
    if (this.#parts.options.auto_save) {
      this.request_save();
    }
  }

  /** Notes label and checkpoint from the conversation, and completes a draft whose prompt the conversation holds. */
  note_derived_metadata(session: SessionState, live: Messages): void {
    const { conversation, drafts, options } = this.#parts;
    drafts.complete_if_held(session, live);
    if (options.auto_slug) {
      session.note_auto_label(live);
    }
    session.note_checkpoint(conversation.checkpoint_state, live);
  }

  /** Begins a session with the present conversation if no session is active and `auto_start` is set. */
  start_automatically(): void {
    const { options } = this.#parts;
    if (!this.session && options.auto_start && options.auto_save) {
      this.set_current(this.create({ kind: "root" }));
      this.request_save();
    }
  }

  turn_began(): void {
    this.start_automatically();
    if (!this.session) {
      this.#sessionless_base = this.#parts.conversation.messages.length;
    }
  }

  /** Reports the first sessionless turn. Keeps all of them until the conversation is replaced. */
  sessionless_turn_completed(usage: Usage | undefined): void {
    const { conversation, events, queue, options } = this.#parts;
    if (!options.auto_save) {
      return;
    }
    const live = conversation.messages;
    const base = this.#sessionless_base ?? Math.max(0, live.length - 2); // prompt and reply come together
    this.#sessionless_base = undefined;
    let turns = this.#sessionless.at(-1);
    const end = turns && turns.from + turns.session.history.length;
    if (!turns || end !== base || turns.session.shared.deletion !== undefined) {
      this.#mark_sessionless_dirty();
      turns = { session: this.create({ kind: "root" }), from: base };
      this.#sessionless.push(turns);
    }
    const { session, from } = turns;
    const messages = live.slice(from);
    if (usage) {
      session.note_usage(usage);
    }
    if (options.auto_slug) {
      session.note_auto_label(messages);
    }
    if (session.stored || queue.dirty.has(session)) {
      queue.request_save(session, messages); // an operation stored the turns before, or tried to, and failed after that
    } else {
      queue.capture(session, messages);
    }
    const context = this.#next_report;
    this.#next_report = undefined;
    if (context) {
      const message = "no active session: the turn is not saved; call start_new() or load() first, or set auto_start";
      events.emit_error(invalid_state(message), "save", context);
    }
  }

  /** Stores the sessionless turns as sessions of their own. With `on_replace: "overwrite"` these turns are dropped. */
  async store_turns(): Promise<void> {
    for (const session of this.#mark_sessionless_dirty()) {
      await this.#parts.queue.save(session);
    }
  }

  store_turns_later(): void {
    this.#mark_sessionless_dirty().forEach((session) => this.#parts.queue.save_in_background(session));
  }

  /** Marks the sessions of sessionless turns dirty, so that `flush()` retries their saves. Returns the sessions. */
  #mark_sessionless_dirty(): SessionState[] {
    const { queue, options } = this.#parts;
    const is_kept = ({ history }: SessionState) => history.storable(history.length) > 0;
    this.#sessionless = this.#sessionless.filter(({ session }) => options.on_replace === "keep" && is_kept(session));
    this.#sessionless.forEach(({ session }) => queue.update_dirty(session));
    return this.#sessionless.map(({ session }) => session);
  }
}
