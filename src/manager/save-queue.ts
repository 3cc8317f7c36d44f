import { WriteQueue } from "../async/queue.js";
import { session_not_found, type SessionError } from "../errors.js";
import { trace_event, trace_manager } from "../tracing.js";
import { MessagesEvent, type ManagerEvents } from "./events.js";
import type { Messages } from "../messages.js";
import { SaveTask, type SaveTaskParts } from "./save.js";
import { SharedSession, type SessionState, type Version } from "./session-state.js";

export interface SaveQueueParts extends SaveTaskParts {
  readonly events: ManagerEvents;
  readonly family: Family;
}

/**
 * Everything that a manager shares with the managers of its descendants. A `Family` does not keep unused sessions and
 * children alive.
 */
export class Family {
  /** The queues with tasks, draft writes or dirty sessions. */
  readonly at_work = new Set<SaveQueue>();
  /** The ids of sessions that were written since their last flush. */
  readonly unflushed = new Set<string>();
  readonly #unstorable = new Set<WeakRef<SessionState>>();
  /** The content of messages that cannot be stored and were reported. */
  readonly #reported = new WeakSet();
  readonly #shared = new Map<string, WeakRef<SharedSession>>();
  readonly #collected = new FinalizationRegistry<string>((id) => {
    if (!this.#shared.get(id)?.deref()) {
      this.#shared.delete(id);
    }
  });

  shared_of(id: string): SharedSession {
    let shared = this.#shared.get(id)?.deref();
    if (!shared) {
      shared = new SharedSession(id);
      this.#shared.set(id, new WeakRef(shared));
      this.#collected.register(shared, id);
    }
    return shared;
  }

  /** Notes a turn that cannot be stored. Returns true the first time. */
  note_unstorable(session: SessionState, content: unknown): boolean {
    this.#unstorable.add(new WeakRef(session));
    const identity = Object(content) as object; // content that is no object is new each time
    const is_new = !this.#reported.has(identity);
    this.#reported.add(identity);
    return is_new;
  }

  /** Returns the reason why a turn that a conversation still holds cannot be stored. */
  unstorable_turn(): SessionError | undefined {
    for (const ref of this.#unstorable) {
      const session = ref.deref();
      const is_over =
        session === undefined || session.shared.deletion === "done" || session.history.conversation.is_disposed;
      const reason = is_over ? undefined : session.history.reason_left_out();
      if (reason) {
        return reason;
      }
      this.#unstorable.delete(ref);
    }
    return undefined;
  }

  /** Returns the dirty sessions under these ids, with the queues that write the sessions. */
  dirty_sessions(ids: readonly string[]): [SaveQueue, SessionState][] {
    const wanted = new Set(ids);
    return [...this.at_work].flatMap((queue) =>
      [...queue.dirty].filter(({ id }) => wanted.has(id)).map((session): [SaveQueue, SessionState] => [queue, session]),
    );
  }
}

/**
 * The ordered queue through which a manager writes sessions, and a second one for drafts.
 *
 * Hazard: a task that waits for something that uses this queue never ends. A task may wait for the store, and for the
 * lock of one session id, because the holder of that lock waits for the store alone.
 */
export class SaveQueue {
  /** A session is removed after its `save` event, because `Drafts` looks the session up here during the event. */
  readonly dirty = new Set<SessionState>();
  readonly #parts: SaveQueueParts;
  readonly #parent: SaveQueue | undefined;
  readonly #queue: WriteQueue;
  readonly #draft_queue = new WriteQueue();
  #pending = 0;

  /** With a parent, the first task runs after the present tasks of the parent. */
  constructor(parts: SaveQueueParts, parent: SaveQueue | undefined) {
    this.#parts = parts;
    this.#parent = parent;
    this.#queue = new WriteQueue(parent?.settled());
  }

  /** The number of tasks and draft writes that wait or run, children included. */
  get pending(): number {
    return this.#pending;
  }

  /** Runs a task after every task so far. */
  enqueue<T>(task: () => Promise<T>): Promise<T> {
    return this.#count(this.#queue.run(task));
  }

  settled(): Promise<void> {
    return this.#queue.settled();
  }

  /** Runs a draft write after the draft writes so far, past the queue of saves. */
  enqueue_draft(write: () => Promise<void>): Promise<void> {
    return this.#count(this.#draft_queue.run(write));
  }

  drafts_settled(): Promise<void> {
    return this.#draft_queue.settled();
  }

  /** Marks the state of a conversation as to be stored. Reports each turn that cannot be stored once. */
  capture(session: SessionState, messages: Messages): Version {
    const version = session.want(messages);
    for (const { error, content } of session.history.take_left_out()) {
      if (this.#parts.family.note_unstorable(session, content)) {
        this.#parts.events.emit_error(error, "save", { session_id: session.id });
      }
    }
    return version;
  }

  /** Marks the state of a conversation as to be stored, and saves in the background. */
  request_save(session: SessionState, messages: Messages): void {
    this.capture(session, messages);
    this.save_in_background(session);
  }

  /** Requests a new save of the history that was stored, before any pending version. See `SessionState.want_again`. */
  request_save_again(session: SessionState, messages: Messages): void {
    session.mark_uncertain();
    session.want_again(messages);
    this.save_in_background(session);
  }

  /** Saves a session in the background. Failures are reported. */
  save_in_background(session: SessionState): void {
    this.update_dirty(session);
    if (session.is_queued) {
      return; // the waiting task will save the new versions, too
    }
    session.is_queued = true;
    void this.enqueue(async () => {
      session.is_queued = false;
      await this.#save_while(session, (next) => next.is_awaited !== true);
    }).catch((error: unknown) => this.#parts.events.emit_error(error, "save", { session_id: session.id }));
  }

  /** Saves all versions of a session. Runs inside a task. If a write fails, the session stays dirty. */
  save(session: SessionState, on_conflict?: "fork"): Promise<void> {
    return this.#save_while(session, () => true, on_conflict);
  }

  /**
   * Saves a session up to the version of an explicit save. Runs inside the task of that save.
   * @throws {SessionError} `not_found` if the session was deleted.
   */
  async save_awaited(session: SessionState, version: Version): Promise<void> {
    version.is_awaited = false;
    try {
      await this.#save_while(session, () => session.versions.includes(version));
    } finally {
      if (session.is_dirty && session.versions.at(-1) !== version) {
        this.save_in_background(session); // turns that completed after this save
      }
    }
    if (session.shared.deletion !== undefined) {
      throw session_not_found(session.id);
    }
    if (version.refused !== undefined) {
      throw version.refused as Error;
    }
  }

  async #save_while(session: SessionState, is_left: (next: Version) => boolean, on_conflict?: "fork"): Promise<void> {
    await session.shared.writes.run(async () => {
      if (session.shared.deletion !== undefined) {
        return this.forget(session);
      }
      try {
        await this.#protect_late_forks(session);
        for (let [next] = session.versions; next && is_left(next); [next] = session.versions) {
          const emit_saved = await this.save_version(session, next, on_conflict);
          emit_saved();
          await this.#protect_late_forks(session);
        }
        if (!session.is_dirty) {
          this.#parts.events.clear_failure("save", session.id);
        }
      } catch (error) {
        this.#parts.events.note_failure("save", session.id, error);
        throw error;
      }
      this.update_dirty(session);
    });
  }

  async #protect_late_forks(session: SessionState): Promise<void> {
    await session.protect_late_forks?.();
    session.protect_late_forks = undefined;
  }

  /** Runs one write, inside a task. Returns the function that emits the events of the write. */
  async save_version(session: SessionState, version: Version, on_conflict?: "fork"): Promise<() => void> {
    const { id } = session;
    const { events, family } = this.#parts;
    const task = new SaveTask(this.#parts, session, version, on_conflict);
    const trace = { operation: "save", session_id: id, count: version.history.storable(version.count) };
    const conflict = await trace_manager(trace, () => task.run());
    if (!session.is_dirty) {
      events.clear_failure("save", id);
    }
    family.unflushed.add(session.id);
    return () => {
      if (conflict) {
        events.forget_failures(conflict.id); // the session belongs to the other writer now
        trace_event({ operation: "conflict", session_id: conflict.id, fork_id: conflict.fork_id });
        events.emit("conflict", Object.freeze(conflict));
      }
      events.emit("save", new MessagesEvent(session.id, () => task.messages));
    };
  }

  /** Drops everything that is to be stored of a session. */
  forget(session: SessionState): void {
    session.versions.length = 0;
    session.protect_late_forks = undefined;
    this.update_dirty(session);
    this.#parts.family.unflushed.delete(session.id);
  }

  /** Calls the store's `flush` for a session. */
  async flush_session(id: string): Promise<void> {
    const { store, events, family } = this.#parts;
    family.unflushed.add(id); // until the flush succeeds
    await events.watch("flush", id, () => store.flush(id));
    family.unflushed.delete(id);
  }

  async flush(): Promise<void> {
    const { family } = this.#parts;
    const errors: unknown[] = [];
    const fail = (error: unknown) => void errors.push(error);
    for (const queue of new Set([this, ...family.at_work])) {
      await queue.#retry_dirty(fail);
    }
    await this.enqueue(async () => {
      for (const id of [...family.unflushed]) {
        await (family.unflushed.has(id) && this.flush_session(id).catch(fail)); // unless deleted meanwhile
      }
    });
    const error = errors[0] ?? family.unstorable_turn();
    if (error !== undefined) {
      throw error as Error;
    }
  }

  /** Flushes written sessions after every task so far: those of the family, or of these. Nobody waits for that. */
  flush_written(own: readonly SessionState[]): void {
    const { family } = this.#parts;
    const wanted = this.#parent ? new Set(own.map(({ id }) => id)) : family.unflushed;
    void this.enqueue(async () => {
      for (const id of wanted) {
        await (family.unflushed.has(id) && this.flush_session(id).catch(() => undefined)); // `last_error` tells
      }
    });
  }

  async #retry_dirty(fail: (error: unknown) => void): Promise<void> {
    await this.enqueue(async () => {
      for (const session of [...this.dirty]) {
        await this.save(session).catch(fail);
      }
    });
    await this.drafts_settled();
  }

  /** Adds a dirty session to `dirty`, or removes a clean one. `flush()` retries dirty sessions. */
  update_dirty(session: SessionState): void {
    this.dirty[session.is_dirty ? "add" : "delete"](session);
    this.#note_work();
  }

  #count<T>(work: Promise<T>): Promise<T> {
    this.#note_work(1);
    const ended = () => this.#note_work(-1);
    work.then(ended, ended);
    return work;
  }

  #note_work(change = 0): void {
    this.#pending += change;
    const is_at_work = this.#pending > 0 || this.dirty.size > 0;
    this.#parts.family.at_work[is_at_work ? "add" : "delete"](this);
    if (this.#parent) {
      this.#parent.#note_work(change);
    }
  }
}
