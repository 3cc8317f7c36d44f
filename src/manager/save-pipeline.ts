import type { ActiveSession } from "./active-session.js";
import type { ManagerEmitter } from "./emitter.js";
import { SessionWriter, type Capture, type WriterOptions } from "./session-writer.js";
import type { StorePort } from "./store-port.js";
import { messages_event } from "./timeline.js";
import type { ConflictEvent } from "./types.js";
import { trace_event, trace_manager } from "../tracing.js";
import { WriteQueue } from "../write-queue.js";

/** The one ordered queue through which a manager writes, and what is left to do to bring everything to rest. */
export class SavePipeline {
  /** Called when a session goes on under another id. */
  moved: (session: ActiveSession) => void = ignore;
  /** Called when a state is stored. */
  written: (capture: Capture) => void = ignore;
  readonly #port: StorePort;
  readonly #events: ManagerEmitter;
  readonly #parent: SavePipeline | undefined;
  readonly #writer: SessionWriter;
  readonly #queue: WriteQueue;
  /** Children with writes under way, or with some that failed. */
  readonly #busy_children = new Set<SavePipeline>();
  /** Sessions written since they were last flushed, those of children included. */
  readonly #unflushed: Set<string>;
  /** Sessions deleted through this manager: nothing of them is written any more, by children either. */
  readonly #deleted: Set<string>;
  /** Writes that go past the queue: of drafts. */
  readonly #beside = new Set<Promise<void>>();
  /** The calls of the store that these have made. */
  readonly #calls = new Set<Promise<unknown>>();
  /** Who waits for the first write of a session. */
  readonly #awaited = new Map<ActiveSession, () => void>();
  /** The newest state of each session whose write failed. */
  readonly #failed = new Map<ActiveSession, Capture>();
  /** An auto-save at the end of the queue that has not begun: a newer one takes its place. */
  #waiting: { capture: Capture } | undefined;
  /** The write under way, however it ends. */
  #in_flight: Promise<void> = Promise.resolve();
  #flushing: Promise<unknown> = Promise.resolve();

  /** With a parent, the first write comes behind everything that the parent was asked for so far. */
  constructor(port: StorePort, events: ManagerEmitter, options: WriterOptions, parent?: SavePipeline) {
    this.#port = port;
    this.#events = events;
    this.#parent = parent;
    this.#writer = new SessionWriter(port, options);
    this.#queue = new WriteQueue(parent?.settled(), () => this.#leave_parent());
    this.#unflushed = parent ? parent.#unflushed : new Set();
    this.#deleted = parent ? parent.#deleted : new Set();
  }

  /** How much of what was asked for is waiting or under way, children included. */
  get pending(): number {
    const children = [...this.#busy_children].reduce((sum, child) => sum + child.pending, 0);
    return this.#queue.unfinished + this.#beside.size + children;
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

  /** Waits for a session that is not stored yet, and for nothing behind its first write; what failed is tried again. */
  async stored_once(session: ActiveSession): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#awaited.set(session, resolve);
      void this.settled().then(resolve);
    });
    this.#awaited.delete(session);
    const failed = this.#failed.get(session);
    if (failed !== undefined) {
      await this.enqueue(() => this.write(failed));
    }
  }

  /** A write that goes past the queue, and never rejects: a flush waits for it. */
  track(write: Promise<void>): void {
    this.#beside.add(write);
    this.#join_parent();
    void write.then(() => {
      this.#beside.delete(write);
      this.#leave_parent();
    });
  }

  /** A call that such a write makes: a deletion waits for it. */
  async at_store(call: Promise<void>): Promise<void> {
    this.#calls.add(call);
    try {
      await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Writes inside a task of the queue; a state that cannot be stored is kept for the next flush. */
  async write(capture: Capture): Promise<void> {
    const { session, messages } = capture;
    const { id } = session;
    if (this.#deleted.has(id)) {
      return;
    }
    let conflict: ConflictEvent | undefined;
    try {
      const trace = { operation: "save", session_id: id, count: messages.length };
      const write = () => trace_manager(trace, () => this.#writer.write(capture));
      const writing = this.#events.failures.watch("save", id, write);
      this.#in_flight = writing.then(ignore, ignore);
      conflict = await writing;
    } catch (error) {
      this.#failed.set(session, { ...capture, given: undefined }); // what was given stays pending, or was refused
      throw error;
    }
    this.#failed.delete(session);
    this.#unflushed.add(session.id);
    this.#awaited.get(session)?.();
    if (conflict !== undefined) {
      this.#events.failures.forget(conflict.id); // it is another writer's now
      this.moved(session);
      trace_event({ operation: "conflict", session_id: conflict.id, fork_id: conflict.fork_id });
      this.#events.emit("conflict", Object.freeze(conflict));
    }
    this.written(capture);
    if (this.#events.has_listeners("save")) {
      this.#events.emit("save", messages_event(session.id, messages));
    }
  }

  /** Nothing that was asked for of this session is to be tried again. */
  forget(session: ActiveSession): void {
    this.#failed.delete(session);
    this.#unflushed.delete(session.id);
  }

  /** Nothing of these sessions is written any more; resolves when what children, and drafts, were writing has ended. */
  async bury(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      this.#deleted.add(id);
      this.#unflushed.delete(id);
    }
    await this.#calls_in_flight();
  }

  /** Not their queues: a child that begins now waits for ours. */
  async #calls_in_flight(): Promise<void> {
    await Promise.allSettled(this.#calls);
    for (const child of this.#busy_children) {
      await child.#in_flight;
      await child.#calls_in_flight();
    }
  }

  /** They are there after all. */
  unbury(ids: readonly string[]): void {
    ids.forEach((id) => this.#deleted.delete(id));
  }

  is_deleted(id: string): boolean {
    return this.#deleted.has(id);
  }

  /** Notes a session that was written in another way. */
  wrote(id: string): void {
    this.#unflushed.add(id);
  }

  /** Brings the at-rest form of one session up to date. */
  async flush_session(id: string): Promise<void> {
    await this.#events.failures.watch("flush", id, () => this.#port.flush(id));
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
    await Promise.all(this.#beside);
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
    const is_at_rest = this.#queue.is_idle && this.#beside.size === 0 && this.#failed.size === 0;
    if (parent && is_at_rest && this.#busy_children.size === 0) {
      parent.#busy_children.delete(this);
      parent.#leave_parent();
    }
  }

  #report(error: unknown, operation: string, session_id: string): void {
    this.#events.report(error, operation, { session_id });
  }
}

/** The outcome goes to whoever asked for it. */
function ignore(): void {
  return undefined;
}
