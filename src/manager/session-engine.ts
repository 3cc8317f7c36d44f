import type { CheckpointState, Conversation, Message, Usage } from "@simulacra-ai/core";
import { disposed, has_code, SessionError, session_not_found } from "../errors.js";
import { messages_to_json, metadata_to_plain } from "../json.js";
import { trace_manager } from "../tracing.js";
import type { SessionDraft, SessionStore } from "../types.js";
import { ActiveSession } from "./active-session.js";
import { CheckpointWatch } from "./checkpoint-watch.js";
import { ConversationLink } from "./conversation-link.js";
import { CurrentSession, report_missing, require_resolved, type EngineParts } from "./current-session.js";
import { DraftKeeper } from "./draft-keeper.js";
import { delete_session } from "./delete-session.js";
import { ManagerEmitter } from "./emitter.js";
import { fork_session } from "./fork-session.js";
import { newest_session } from "./newest-session.js";
import { rewind_current } from "./rewind-current.js";
import { SavePipeline } from "./save-pipeline.js";
import { StorePort } from "./store-port.js";
import { Timeline } from "./timeline.js";
import type { DeleteOptions, ForkOptions, SaveMetadata, SessionConversation, SessionManagerOptions } from "./types.js";

/**
 * One conversation and its session: what a `SessionManager` does, and what keeps each child conversation. State
 * never moves before the step that can throw.
 */
export class SessionEngine implements EngineParts {
  readonly events: ManagerEmitter;
  readonly pipeline: SavePipeline;
  readonly port: StorePort;
  readonly #options: Required<SessionManagerOptions>;
  readonly current: CurrentSession;
  readonly #drafts: DraftKeeper;
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
    const link = new ConversationLink(conversation, {
      prompt_send: (prompt) => this.#drafts.prompt_sent(prompt),
      message_update: (partial) => this.#drafts.answer_updated(partial),
      at_rest: () => this.#drafts.turn_may_have_ended(),
      message_complete: (usage) => this.#message_complete(usage),
      create_child: (child) => this.#create_child(child),
      checkpoint_begin: (child) => this.#checkpoints.begin(child, this.current.session?.origin),
      checkpoint_complete: (state) => this.#checkpoint_complete(state),
      dispose: () => this.dispose(),
      failed: (error, operation) => this.events.report(error, operation, { session_id: this.session_id }),
    });
    this.current = new CurrentSession(link, this.events, options);
    this.#drafts = new DraftKeeper(this, options);
  }

  get session_id(): string | undefined {
    return this.current.session?.id;
  }

  start_new(label?: string): string {
    this.#require_open();
    if (this.current.conversation.messages.length > 0) {
      this.current.conversation.require_idle();
      this.current.conversation.clear();
    }
    const session = ActiveSession.create({ kind: "root" });
    if (label !== undefined) {
      session.note_label(label);
    }
    this.current.activate(session);
    if (label !== undefined || this.#options.auto_save) {
      this.pipeline.save_in_background({
        session,
        timeline: session.timeline,
        messages: [],
        exact: false,
        noted: session.noted,
      });
    }
    return session.id;
  }

  async fork(parent_id: string, options: ForkOptions): Promise<string> {
    this.#require_open();
    this.current.require_idle_if(!options.detached);
    const fork = () =>
      this.pipeline.enqueue(async () => {
        const session = await fork_session(this, parent_id, options, this.#options.auto_slug);
        if (options.detached) {
          this.#auto_save(); // a turn may have been completed meanwhile
        }
        return session.id;
      });
    return trace_manager({ operation: "fork", session_id: parent_id }, fork, (fork_id) => ({ fork_id }));
  }

  async load(id: string | undefined): Promise<void> {
    this.#require_open();
    this.current.conversation.require_idle();
    const load = () => this.pipeline.enqueue(() => this.#load(id));
    const what = () => ({ ...(this.session_id !== undefined && { session_id: this.session_id }) });
    return trace_manager({ operation: "load", ...(id !== undefined && { session_id: id }) }, load, what);
  }

  /** Inside a task of the queue. */
  async #load(id: string | undefined): Promise<void> {
    await this.#drafts.settled(); // what is stored of a draft is to be the newest
    const report = (error: unknown, session_id: string) => this.events.report(error, "load", { session_id });
    const resolved = await (id === undefined ? newest_session(this.port, report) : require_resolved(this.port, id));
    if (resolved === undefined) {
      this.start_new();
      return;
    }
    const { record, messages, inherited } = resolved;
    const session = new ActiveSession(record.metadata.id, new Timeline(inherited), record.metadata);
    session.stored = { timeline: session.timeline, count: messages.length, revision: record.revision };
    if (this.current.session?.id === session.id) {
      session.origin = this.current.session.origin;
    }
    this.#drafts.loaded(session, record.draft);
    this.pipeline.unbury([session.id]);
    this.current.show(session, messages);
    report_missing(this.events, resolved, session.id);
  }

  async save(metadata: SaveMetadata): Promise<void> {
    const session = this.current.require();
    const live = this.current.conversation.messages;
    const messages = messages_to_json(live as Message[], session.id).map((json) => JSON.parse(json) as Message);
    const given = metadata_to_plain(
      { ...metadata, ...(metadata.label !== undefined && { label_source: "user" }) },
      session.id,
    );
    const capture = { ...this.current.capture(session, live), messages, exact: true, given: session.expect(given) };
    return this.pipeline.enqueue(async () => {
      if (this.pipeline.is_deleted(session.id)) {
        throw session_not_found(session.id);
      }
      await this.pipeline.write(capture);
      await this.pipeline.flush_session(session.id);
    });
  }

  async delete(id: string, policy: NonNullable<DeleteOptions["forks"]>): Promise<boolean> {
    this.current.require_idle_if(this.session_id === id);
    return this.pipeline.enqueue(() => delete_session(this, id, policy));
  }

  async rewind(message_id: string): Promise<string | undefined> {
    this.#require_open();
    this.current.require();
    this.current.conversation.require_idle();
    return this.pipeline.enqueue(() => rewind_current(this, message_id));
  }

  async rename(id: string, label: string): Promise<void> {
    return this.pipeline.enqueue(async () => {
      const owner = [...this.#family].find((engine) => engine.session_id === id) ?? this;
      await (owner === this ? this.#rename(id, label) : owner.pipeline.enqueue(() => owner.#rename(id, label)));
    });
  }

  /** Inside a task of the queue through which the session is written. */
  async #rename(id: string, label: string): Promise<void> {
    const current = this.session_id === id ? this.current.session : undefined;
    if (current !== undefined && current.stored === undefined) {
      current.note_label(label); // goes with the first write
      return;
    }
    try {
      await this.events.failures.watch("rename", id, () => this.port.update(id, { label, label_source: "user" }));
    } catch (error) {
      if (has_code(error, "not_found")) {
        this.events.failures.made_good("rename", id); // there is nothing to be renamed
      }
      throw error;
    }
    this.pipeline.wrote(id);
    current?.learn_label(label);
  }

  /** Stops listening at once; what was asked for is still written. */
  dispose(): void {
    if (!this.#disposed) {
      this.#disposed = true;
      void this.pipeline.settled().then(() => this.#family.delete(this));
      this.current.conversation.detach();
      this.#drafts.turn_abandoned();
      this.events.emit("dispose");
    }
  }

  async flush(): Promise<void> {
    this.#drafts.refresh();
    await this.pipeline.flush();
  }

  async dispose_after_turn(): Promise<void> {
    if (!this.#disposed) {
      await this.current.conversation.turn_ended();
    }
    try {
      await this.flush();
    } finally {
      this.dispose();
    }
  }

  get draft(): SessionDraft | undefined {
    return this.current.session?.draft;
  }

  async resume_draft(): ReturnType<Conversation["send_message"]> {
    this.#require_open();
    const { draft } = this.current.require();
    if (draft === undefined) {
      throw new SessionError("invalid_state", "there is no draft", { session_id: this.session_id });
    }
    this.current.conversation.require_idle();
    return this.current.conversation.send(draft.prompt.content);
  }

  async discard_draft(): Promise<void> {
    const session = this.current.require();
    await this.#drafts.discard(session);
  }

  #message_complete(usage: Usage | undefined): void {
    this.#drafts.turn_completed();
    if (usage) {
      this.current.session?.note_usage(usage);
    }
    this.#auto_save();
  }

  #checkpoint_complete(state: CheckpointState | undefined): void {
    const session = this.current.session;
    const is_here = this.current.conversation.messages.some((message) => message.id === state?.message_id);
    if (this.#checkpoints.began_elsewhere(state, session?.origin) || (state && !is_here)) {
      this.current.conversation.checkpoint_state = session?.checkpoint_state;
    } else {
      this.#auto_save();
    }
  }

  #create_child(child: Conversation): void {
    if (this.current.session === undefined) {
      return;
    }
    const checkpoint = child.is_checkpoint;
    const { auto_slug, drafts } = this.#options;
    const options = { ...this.#options, auto_slug: auto_slug && !checkpoint, drafts: drafts && !checkpoint };
    const engine = new SessionEngine(this.port.store, child, options, this);
    const session = ActiveSession.create(
      checkpoint ? { kind: "checkpoint", detached: true, is_checkpoint: true } : { kind: "child", detached: true },
    );
    session.parent = this.current.session;
    engine.current.take_over(session);
    engine.pipeline.save_in_background(engine.current.capture(session, child.messages));
  }

  #auto_save(): void {
    const session = this.current.session;
    if (session !== undefined && this.#options.auto_save) {
      this.pipeline.save_in_background(this.current.capture(session, this.current.conversation.messages));
    }
  }

  #require_open(): void {
    if (this.#disposed) {
      throw disposed();
    }
  }
}
