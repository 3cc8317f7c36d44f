import { has_capability } from "../capabilities.js";
import { session_not_found } from "../errors.js";
import type { SessionMetadata, SessionStore } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import type { ManagerEmitter } from "./emitter.js";
import { SessionWriter, type Capture } from "./session-writer.js";
import { frozen_messages } from "./timeline.js";
import { WriteQueue } from "../write-queue.js";

/** The one ordered queue through which a manager writes, and what is left to do to bring everything to rest. */
export class SavePipeline {
  readonly #store: SessionStore;
  readonly #events: ManagerEmitter;
  readonly #parent: SavePipeline | undefined;
  readonly #writer: SessionWriter;
  readonly #queue: WriteQueue;
  /** Children with writes under way, or with some that failed. */
  readonly #busy_children = new Set<SavePipeline>();
  /** Sessions written since they were last flushed, those of children included. */
  readonly #unflushed: Set<string>;
  /** The newest state of each session whose write failed. */
  readonly #failed = new Map<ActiveSession, Capture>();
  /** An auto-save at the end of the queue that has not begun: a newer one takes its place. */
  #waiting: { capture: Capture } | undefined;
  #flushing: Promise<unknown> = Promise.resolve();

  /** With a parent, the first write comes behind everything that the parent was asked for so far. */
  constructor(store: SessionStore, events: ManagerEmitter, parent?: SavePipeline) {
    this.#store = store;
    this.#events = events;
    this.#parent = parent;
    this.#writer = new SessionWriter(store);
    this.#queue = new WriteQueue(parent?.settled(), () => this.#leave_parent());
    this.#unflushed = parent ? parent.#unflushed : new Set();
  }

  /** Runs a task behind everything asked for before it. */
  enqueue<T>(task: () => Promise<T>): Promise<T> {
    this.#waiting = undefined;
    this.#join_parent();
    return this.#queue.run(task);
  }

  /** Resolves when everything asked for so far has ended, in whatever way. */
  settled(): Promise<void> {
    return this.#queue.settled();
  }

  /** Saves in the background; failures are reported. Takes the place of a waiting one that it continues. */
  save_in_background(capture: Capture): void {
    const waiting = this.#waiting;
    if (waiting?.capture.session === capture.session && waiting.capture.timeline === capture.timeline) {
      waiting.capture = capture;
      return;
    }
    const holder = { capture };
    void this.enqueue(async () => {
      if (this.#waiting === holder) {
        this.#waiting = undefined;
      }
      await this.write(holder.capture);
    }).catch((error: unknown) => this.#report(error, "save", capture.session.id));
    this.#waiting = holder;
  }

  /** Writes inside a task of the queue; a state that cannot be stored is kept for the next flush. */
  async write(capture: Capture): Promise<void> {
    const { session, messages } = capture;
    if (session.deleted) {
      return;
    }
    try {
      await this.#writer.write(capture);
    } catch (error) {
      this.#failed.set(session, capture);
      throw error;
    }
    this.#failed.delete(session);
    this.#unflushed.add(session.id);
    if (this.#events.has_listeners("save")) {
      this.#events.emit("save", Object.freeze({ id: session.id, messages: frozen_messages(messages) }));
    }
  }

  /** Nothing of this session is to be written any more. */
  forget(session: ActiveSession): void {
    this.#failed.delete(session);
    this.#unflushed.delete(session.id);
  }

  /**
   * Merges metadata alone into a stored session.
   * @throws {SessionError} `not_found`.
   */
  async update(id: string, metadata: Partial<SessionMetadata>): Promise<void> {
    if (has_capability(this.#store, "update")) {
      if (!(await this.#store.update(id, metadata))) {
        throw session_not_found(id);
      }
    } else {
      const record = await this.#store.load(id);
      if (record === undefined) {
        throw session_not_found(id);
      }
      await this.#store.save(id, record.messages, metadata);
    }
    this.#unflushed.add(id);
  }

  /** Brings the at-rest form of one session up to date. */
  async flush_session(id: string): Promise<void> {
    if (has_capability(this.#store, "flush")) {
      await this.#store.flush(id);
    }
    this.#unflushed.delete(id);
  }

  /** Everything asked for so far is stored, what failed tried again, and at rest; joins a flush under way. */
  async flush(): Promise<void> {
    const flushed = this.#flushing.then(async () => {
      const errors: unknown[] = [];
      await this.#settle(errors);
      for (const id of [...this.#unflushed]) {
        await this.enqueue(() => this.flush_session(id)).catch((error: unknown) => errors.push(error));
      }
      if (errors.length > 0) {
        throw errors[0];
      }
    });
    this.#flushing = flushed.catch(() => undefined);
    return flushed;
  }

  async #settle(errors: unknown[]): Promise<void> {
    await this.enqueue(async () => {
      for (const capture of [...this.#failed.values()]) {
        await this.write(capture).catch((error: unknown) => errors.push(error));
      }
    });
    for (const child of [...this.#busy_children]) {
      await child.#settle(errors);
    }
  }

  #join_parent(): void {
    const parent = this.#parent;
    if (parent) {
      parent.#busy_children.add(this);
      parent.#join_parent();
    }
  }

  #leave_parent(): void {
    const parent = this.#parent;
    if (parent && this.#queue.is_idle && this.#failed.size === 0 && this.#busy_children.size === 0) {
      parent.#busy_children.delete(this);
      parent.#leave_parent();
    }
  }

  #report(error: unknown, operation: string, session_id: string): void {
    this.#events.report(error, operation, { session_id });
  }
}
