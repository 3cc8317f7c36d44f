import type { CheckpointState, Conversation, Message, Usage } from "@simulacra-ai/core";
import { disposed, no_active_session, SessionError, session_not_found } from "../errors.js";
import { messages_to_json, metadata_to_plain } from "../json.js";
import type { ResolvedSession } from "../lineage.js";
import type { SessionStore } from "../types.js";
import { ActiveSession } from "./active-session.js";
import { CheckpointWatch } from "./checkpoint-watch.js";
import { ConversationLink } from "./conversation-link.js";
import { delete_all, doomed_sessions, release_forks } from "./delete-session.js";
import { ManagerEmitter } from "./emitter.js";
import { plan_fork } from "./fork-plan.js";
import { newest_session } from "./newest-session.js";
import { rewind_latest } from "./rewind.js";
import { SavePipeline } from "./save-pipeline.js";
import type { Capture } from "./session-writer.js";
import { StorePort } from "./store-port.js";
import { messages_event, Timeline, type Messages } from "./timeline.js";
import type { DeleteOptions, ForkOptions, SaveMetadata, SessionConversation, SessionManagerOptions } from "./types.js";

/**
 * One conversation and its session: what a `SessionManager` does, and what keeps each child conversation. State
 * never moves before the step that can throw.
 */
export class SessionEngine {
  readonly events: ManagerEmitter;
  readonly pipeline: SavePipeline;
  readonly port: StorePort;
  readonly #options: Required<SessionManagerOptions>;
  readonly #conversation: ConversationLink;
  #session: ActiveSession | undefined;
  readonly #checkpoints = new CheckpointWatch<object>();
  /** This engine and those of all children, and of their children. */
  readonly #family: Set<SessionEngine>;
  #disposed = false;

  /** With a parent: its errors are heard there, and its first write comes behind the parent's. */
  constructor(
    store: SessionStore,
    conversation: SessionConversation,
    options: Required<SessionManagerOptions>,
    parent?: SessionEngine,
  ) {
    this.port = new StorePort(store);
    this.#options = options;
    this.events = new ManagerEmitter(parent?.events);
    this.pipeline = new SavePipeline(this.port, this.events, options, parent?.pipeline);
    this.#family = parent ? parent.#family : new Set();
    this.#family.add(this);
    this.#conversation = new ConversationLink(conversation, {
      message_complete: (usage) => this.#message_complete(usage),
      create_child: (child) => this.#create_child(child),
      checkpoint_begin: (child) => this.#checkpoints.begin(child, this.#session?.origin),
      checkpoint_complete: (state) => this.#checkpoint_complete(state),
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
      if (!attached) {
        session.note_checkpoint(this.#conversation.checkpoint_state, messages);
      }
      this.#require_idle_if(attached);
      try {
        await this.pipeline.write({ session, timeline: session.timeline, messages, exact: false });
        if (attached) {
          this.#show(session, messages);
          this.#report_missing(parent, session.id);
        } else {
          session.timeline.extend(messages);
          this.#session = session;
          this.#auto_save(); // a turn may have been completed meanwhile
        }
      } catch (error) {
        this.pipeline.forget(session);
        await this.port.store.delete(session.id).catch(() => undefined); // the first error says more
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
      const resolved = await (id === undefined ? newest_session(this.port.store, report) : this.#resolve(id));
      if (resolved === undefined) {
        this.start_new();
        return;
      }
      const { record, messages, inherited } = resolved;
      const session = new ActiveSession(record.metadata.id, new Timeline(inherited), record.metadata);
      session.stored = { timeline: session.timeline, count: messages.length, revision: record.revision };
      if (this.#session?.id === session.id) {
        session.origin = this.#session.origin;
      }
      this.pipeline.unbury([session.id]);
      this.#show(session, messages);
      this.#report_missing(resolved, session.id);
    });
  }

  async save(metadata: SaveMetadata): Promise<void> {
    const session = this.#require_session();
    const live = this.#conversation.messages;
    const messages = messages_to_json(live as Message[], session.id).map((json) => JSON.parse(json) as Message);
    const given = metadata_to_plain(
      { ...metadata, ...(metadata.label !== undefined && { label_source: "user" }) },
      session.id,
    );
    session.expect(given);
    const capture = { ...this.#capture(session, live), messages, exact: true, given };
    return this.pipeline.enqueue(async () => {
      if (this.pipeline.is_deleted(session.id)) {
        throw session_not_found(session.id);
      }
      await this.pipeline.write(capture);
      await this.pipeline.flush_session(session.id);
    });
  }

  async delete(id: string, policy: NonNullable<DeleteOptions["forks"]>): Promise<boolean> {
    this.#require_idle_if(this.session_id === id);
    return this.pipeline.enqueue(async () => {
      const doomed = await doomed_sessions(this.port, id, policy);
      const takes_current = this.#session !== undefined && doomed.includes(this.#session.id);
      this.#require_idle_if(takes_current);
      const released = await release_forks(this.port, id, policy);
      if (this.#session && released.has(this.#session.id)) {
        this.#session.make_self_contained(released.get(this.#session.id));
      }
      await this.pipeline.bury(doomed);
      try {
        return await delete_all(this.port, doomed, takes_current ? this.#conversation : undefined);
      } catch (error) {
        this.pipeline.unbury(doomed);
        this.#session?.forget_revision();
        throw error;
      } finally {
        if (this.#session && this.pipeline.is_deleted(this.#session.id)) {
          this.pipeline.forget(this.#session);
          this.#activate(undefined);
        }
      }
    });
  }

  async rewind(message_id: string): Promise<string | undefined> {
    this.#require_open();
    this.#conversation.require_idle();
    const session = this.#require_session();
    const capture = this.#capture(session, this.#conversation.messages);
    return this.pipeline.enqueue(async () => {
      this.#conversation.require_idle();
      await this.pipeline.write(capture);
      const rewound = await rewind_latest(this.port, session.id, message_id);
      if (rewound === undefined) {
        return undefined;
      }
      const { metadata, messages, inherited, revision } = rewound;
      const shorter = new ActiveSession(session.id, new Timeline(inherited), metadata);
      shorter.origin = session.origin;
      shorter.stored = { timeline: shorter.timeline, count: messages.length, revision };
      try {
        this.#show(shorter, messages);
      } catch (error) {
        await rewound.undo();
        session.forget_revision();
        throw error;
      }
      this.pipeline.wrote(session.id);
      this.pipeline.wrote(rewound.fork_id);
      return rewound.fork_id;
    });
  }

  async rename(id: string, label: string): Promise<void> {
    return this.pipeline.enqueue(async () => {
      const owner = [...this.#family].find((engine) => engine.session_id === id) ?? this;
      await (owner === this ? this.#rename(id, label) : owner.pipeline.enqueue(() => owner.#rename(id, label)));
    });
  }

  /** Inside a task of the queue through which the session is written. */
  async #rename(id: string, label: string): Promise<void> {
    const current = this.session_id === id ? this.#session : undefined;
    if (current !== undefined && current.stored === undefined) {
      current.note_label(label); // goes with the first write
    } else {
      await this.port.update(id, { label, label_source: "user" });
      this.pipeline.wrote(id);
      current?.learn_label(label);
    }
  }

  /** Stops listening at once; what was asked for is still written. */
  dispose(): void {
    if (!this.#disposed) {
      this.#disposed = true;
      void this.pipeline.settled().then(() => this.#family.delete(this));
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

  #checkpoint_complete(state: CheckpointState | undefined): void {
    const session = this.#session;
    const is_here = this.#conversation.messages.some((message) => message.id === state?.message_id);
    if (this.#checkpoints.began_elsewhere(state, session?.origin) || (state && !is_here)) {
      this.#conversation.checkpoint_state = session?.checkpoint_state;
    } else {
      this.#auto_save();
    }
  }

  #create_child(child: Conversation): void {
    if (this.#session === undefined) {
      return;
    }
    const checkpoint = child.is_checkpoint;
    const options = { ...this.#options, auto_slug: this.#options.auto_slug && !checkpoint };
    const engine = new SessionEngine(this.port.store, child, options, this);
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
    const resolved = await this.port.resolve(id);
    if (resolved === undefined) {
      throw session_not_found(id);
    }
    return resolved;
  }

  #report_missing({ missing }: ResolvedSession, session_id: string): void {
    for (const what of missing) {
      this.events.report(new SessionError("lineage", what, { session_id }), "load", { session_id });
    }
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
      this.events.emit("load", messages_event(session.id, messages));
    }
  }

  #activate(session: ActiveSession | undefined): void {
    this.#session = session;
    this.#conversation.checkpoint_state = session?.checkpoint_state;
  }

  #require_session(): ActiveSession {
    if (this.#session === undefined) {
      throw no_active_session();
    }
    return this.#session;
  }

  #require_open(): void {
    if (this.#disposed) {
      throw disposed();
    }
  }

  #require_idle_if(changes_conversation: boolean): void {
    if (changes_conversation) {
      this.#conversation.require_idle();
    }
  }
}
