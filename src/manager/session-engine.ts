import type { Conversation, Message, Usage } from "@simulacra-ai/core";
import { no_active_session, SessionError, session_not_found } from "../errors.js";
import { messages_to_json } from "../json.js";
import { resolve_session, type ResolvedSession } from "../lineage.js";
import type { SessionStore, StoredSession } from "../types.js";
import { ActiveSession } from "./active-session.js";
import { ConversationLink } from "./conversation-link.js";
import { ManagerEmitter } from "./emitter.js";
import { plan_fork } from "./fork-plan.js";
import { newest_session } from "./newest-session.js";
import { SavePipeline } from "./save-pipeline.js";
import type { Capture } from "./session-writer.js";
import { frozen_messages, Timeline, type Messages } from "./timeline.js";
import type { ForkOptions, SaveMetadata, SessionConversation, SessionManagerOptions } from "./types.js";

/**
 * One conversation and its session: what a `SessionManager` does, and what keeps each child conversation. State
 * never moves before the step that can throw.
 */
export class SessionEngine {
  readonly events: ManagerEmitter;
  readonly pipeline: SavePipeline;
  readonly #store: SessionStore;
  readonly #options: Required<SessionManagerOptions>;
  readonly #conversation: ConversationLink;
  #session: ActiveSession | undefined;
  /** The checkpoint under way, and the session in which it began. */
  #checkpoint: { session: ActiveSession | undefined } | undefined;
  #disposed = false;

  /** With a parent: its errors are heard there, and its first write comes behind the parent's. */
  constructor(
    store: SessionStore,
    conversation: SessionConversation,
    options: Required<SessionManagerOptions>,
    parent?: SessionEngine,
  ) {
    this.#store = store;
    this.#options = options;
    this.events = new ManagerEmitter(parent?.events);
    this.pipeline = new SavePipeline(store, this.events, parent?.pipeline);
    this.#conversation = new ConversationLink(conversation, {
      message_complete: (usage) => this.#message_complete(usage),
      create_child: (child) => this.#create_child(child),
      checkpoint_begin: () => void (this.#checkpoint = { session: this.#session }),
      checkpoint_complete: () => this.#checkpoint_complete(),
      dispose: () => this.dispose(),
      failed: (error, operation) => this.events.report(error, operation, { session_id: this.session_id }),
    });
  }

  get session_id(): string | undefined {
    return this.#session?.id;
  }

  start_new(label?: string): string {
    this.#require_open();
    if (this.#conversation.messages.length > 0) {
      this.#conversation.require_idle();
      this.#conversation.clear();
    }
    const session = ActiveSession.create({ kind: "root" });
    if (label !== undefined) {
      session.note_label(label);
    }
    this.#activate(session);
    if (label !== undefined || this.#options.auto_save) {
      this.pipeline.save_in_background({ session, timeline: session.timeline, messages: [], exact: false });
    }
    return session.id;
  }

  async fork(parent_id: string, options: ForkOptions): Promise<string> {
    const attached = !options.detached;
    this.#require_open();
    this.#require_idle_if(attached);
    return this.pipeline.enqueue(async () => {
      const parent = await this.#resolve(parent_id);
      const { inherited, metadata } = plan_fork(parent, options, this.#options.auto_slug);
      const session = ActiveSession.create(metadata, inherited);
      const messages = attached ? parent.messages.slice(0, inherited) : this.#conversation.messages.slice();
      this.#require_idle_if(attached);
      try {
        await this.pipeline.write({ session, timeline: session.timeline, messages, exact: false });
        if (attached) {
          this.#show(session, messages);
        } else {
          session.timeline.extend(messages);
          this.#session = session;
        }
      } catch (error) {
        this.pipeline.forget(session);
        await this.#store.delete(session.id).catch(() => undefined); // the first error says more
        throw error;
      }
      return session.id;
    });
  }

  async load(id: string | undefined): Promise<void> {
    this.#require_open();
    this.#conversation.require_idle();
    return this.pipeline.enqueue(async () => {
      const report = (error: unknown, session_id: string) => this.events.report(error, "load", { session_id });
      const resolved = await (id === undefined ? newest_session(this.#store, report) : this.#resolve(id));
      if (resolved === undefined) {
        this.start_new();
        return;
      }
      const { record, messages, inherited, missing } = resolved;
      const session = new ActiveSession(record.metadata.id, new Timeline(inherited), record.metadata);
      session.stored = { timeline: session.timeline, count: messages.length, revision: record.revision };
      this.#show(session, messages);
      for (const what of missing) {
        report(new SessionError("lineage", what, { session_id: session.id }), session.id);
      }
    });
  }

  async save(metadata: SaveMetadata): Promise<void> {
    const session = this.#session;
    if (session === undefined) {
      throw no_active_session();
    }
    const live = this.#conversation.messages;
    const messages = messages_to_json(live as Message[], session.id).map((json) => JSON.parse(json) as Message);
    const capture = { ...this.#capture(session, live), messages, exact: true };
    session.note_given(metadata);
    return this.pipeline.enqueue(async () => {
      if (session.deleted) {
        throw session_not_found(session.id);
      }
      await this.pipeline.write(capture);
      await this.pipeline.flush_session(session.id);
    });
  }

  async delete(id: string): Promise<boolean> {
    this.#require_idle_if(this.session_id === id);
    return this.pipeline.enqueue(async () => {
      const current = this.session_id === id ? this.#session : undefined;
      this.#require_idle_if(current !== undefined);
      const record = current && (await this.#store.load(id));
      const deleted = await this.#store.delete(id);
      if (current !== undefined) {
        await this.#clear_or_restore(current, record);
      }
      return deleted;
    });
  }

  async rename(id: string, label: string): Promise<void> {
    return this.pipeline.enqueue(async () => {
      const current = this.session_id === id ? this.#session : undefined;
      if (current !== undefined && current.stored === undefined) {
        current.note_label(label); // goes with the first write
      } else {
        await this.pipeline.update(id, { label, label_source: "user" });
        current?.learn_label(label);
      }
    });
  }

  /** Stops listening at once; what was asked for is still written. */
  dispose(): void {
    if (!this.#disposed) {
      this.#disposed = true;
      this.#conversation.detach();
      this.events.emit("dispose");
    }
  }

  async dispose_after_turn(): Promise<void> {
    if (!this.#disposed) {
      await this.#conversation.turn_ended();
    }
    try {
      await this.pipeline.flush();
    } finally {
      this.dispose();
    }
  }

  #message_complete(usage: Usage | undefined): void {
    if (usage) {
      this.#session?.note_usage(usage);
    }
    this.#auto_save();
  }

  #checkpoint_complete(): void {
    const session = this.#session;
    if (this.#checkpoint !== undefined && this.#checkpoint.session !== session) {
      this.#conversation.checkpoint_state = session?.checkpoint_state; // it sums up another session
    } else {
      this.#auto_save();
    }
    this.#checkpoint = undefined;
  }

  #create_child(child: Conversation): void {
    if (this.#session === undefined) {
      return;
    }
    const checkpoint = child.is_checkpoint;
    const options = { ...this.#options, auto_slug: this.#options.auto_slug && !checkpoint };
    const engine = new SessionEngine(this.#store, child, options, this);
    const session = ActiveSession.create(
      checkpoint ? { kind: "checkpoint", detached: true, is_checkpoint: true } : { kind: "child", detached: true },
    );
    session.parent = this.#session;
    engine.#session = session;
    engine.pipeline.save_in_background(engine.#capture(session, child.messages));
  }

  #auto_save(): void {
    const session = this.#session;
    if (session !== undefined && this.#options.auto_save) {
      this.pipeline.save_in_background(this.#capture(session, this.#conversation.messages));
    }
  }

  /** Takes the conversation's messages, and what follows from them, for a save. */
  #capture(session: ActiveSession, messages: Messages): Capture {
    const timeline = session.follow(messages);
    if (this.#options.auto_slug) {
      session.note_auto_label(messages);
    }
    session.note_checkpoint(this.#conversation.checkpoint_state, messages);
    return { session, timeline, messages: Object.isFrozen(messages) ? messages : messages.slice(), exact: false };
  }

  async #resolve(id: string): Promise<ResolvedSession> {
    const resolved = await resolve_session(id, (of) => this.#store.load(of));
    if (resolved === undefined) {
      throw session_not_found(id);
    }
    return resolved;
  }

  /** Puts stored messages into the conversation; the session is the current one from then on. */
  #show(session: ActiveSession, messages: Message[]): void {
    this.#conversation.require_idle();
    this.#conversation.load(messages);
    if (!messages.some((message) => message.id === session.checkpoint_state?.message_id)) {
      session.checkpoint_state = undefined;
    }
    this.#activate(session);
    session.timeline.extend(this.#conversation.messages);
    if (this.events.has_listeners("load")) {
      this.events.emit("load", Object.freeze({ id: session.id, messages: frozen_messages(messages) }));
    }
  }

  async #clear_or_restore(session: ActiveSession, record: StoredSession | undefined): Promise<void> {
    try {
      this.#conversation.require_idle();
      this.#conversation.clear();
    } catch (error) {
      if (record !== undefined) {
        await this.#store.save(session.id, record.messages, record.metadata);
        session.forget_revision();
      }
      throw error;
    }
    session.deleted = true;
    this.pipeline.forget(session);
    this.#activate(undefined);
  }

  #activate(session: ActiveSession | undefined): void {
    this.#session = session;
    this.#conversation.checkpoint_state = session?.checkpoint_state;
  }

  #require_open(): void {
    if (this.#disposed) {
      throw new SessionError("invalid_state", "the session manager is disposed");
    }
  }

  #require_idle_if(changes_conversation: boolean): void {
    if (changes_conversation) {
      this.#conversation.require_idle();
    }
  }
}
