import { WriteQueue } from "../async/queue.js";
import { session_not_found } from "../errors.js";
import { trace_event, trace_manager } from "../tracing.js";
import { messages_event, type ManagerEvents } from "./events.js";
import type { Family } from "./family.js";
import type { Messages } from "../messages.js";
import type { LeftOut } from "./history.js";
import { SaveTask, type Saved, type SavePolicies } from "./save.js";
import type { Given, SessionState, Version } from "./session-state.js";
import type { StoreAccess } from "./store-access.js";

/**
 * The ordered queue through which a manager writes.
 *
 * Hazard: a task that waits for something that uses this queue never ends. Tasks may wait for the store, and for the
 * lock of one session id, whose holder waits for the store alone.
 */
export class SaveQueue {
  /** Sessions of this manager that are not stored as wanted. */
  readonly dirty = new Set<SessionState>();
  readonly #store: StoreAccess;
  readonly #events: ManagerEvents;
  readonly #policies: SavePolicies;
  readonly #family: Family<SaveQueue>;
  readonly #parent: SaveQueue | undefined;
  readonly #queue: WriteQueue;
  /** Draft writes in flight. They bypass the queue. `flush()` waits for them. */
  readonly #beside = new Set<Promise<void>>();
  #pending = 0;
  #flushing: Promise<unknown> = Promise.resolve();

  /** With a parent, the first task runs behind everything that the parent was asked for so far. */
  constructor(
    store: StoreAccess,
    events: ManagerEvents,
    policies: SavePolicies,
    family: Family<SaveQueue>,
    parent: SaveQueue | undefined,
  ) {
    this.#store = store;
    this.#events = events;
    this.#policies = policies;
    this.#family = family;
    this.#parent = parent;
    this.#queue = new WriteQueue(parent?.settled());
  }

  /** The number of tasks and draft writes that wait or run, children included. */
  get pending(): number {
    return this.#pending;
  }

  /** Runs a task behind every task so far. */
  enqueue<T>(task: () => Promise<T>): Promise<T> {
    return this.#count(this.#queue.run(task));
  }

  /** Resolves when every task so far has settled. */
  settled(): Promise<void> {
    return this.#queue.settled();
  }

  /** Counts a draft write, which never rejects. */
  track(write: Promise<void>): void {
    this.#beside.add(write);
    void this.#count(write).then(() => this.#beside.delete(write));
  }

  /** Resolves when the draft writes so far have settled. */
  async drafts_settled(): Promise<void> {
    await Promise.all(this.#beside);
  }

  /** Wants the state of a conversation stored, and stores it in the background. */
  want(state: SessionState, messages: Messages): void {
    state.want(messages, this.left_out_of(state));
    this.save_in_background(state);
  }

  /** Wants these messages, which are stored as far as is known, stored before everything else. A write may have cut them. */
  want_again(state: SessionState, messages: Messages): void {
    state.doubt();
    state.want_again(messages);
    this.save_in_background(state);
  }

  /** Wants the messages stored as they are now, edits in place included. Returns what was wanted and what was left out. */
  want_exactly(state: SessionState, messages: Messages, given: Given): { version: Version; left_out: LeftOut[] } {
    const left_out: LeftOut[] = [];
    const version = state.want_exactly(messages, given, (turn) => left_out.push(turn));
    left_out.forEach(({ content }) => this.#family.note_unstorable(state, content));
    this.hold(state);
    return { version, left_out };
  }

  /** Brings a session up to what is wanted, in the background. Failures are reported. */
  save_in_background(state: SessionState): void {
    this.hold(state);
    if (state.is_queued) {
      return; // the task that waits will find what is wanted then
    }
    state.is_queued = true;
    void this.enqueue(async () => {
      state.is_queued = false;
      await this.#save_while(state, this.#policies, (next) => next.is_awaited !== true);
    }).catch((error: unknown) => this.#events.tell(error, "save", { session_id: state.id }));
  }

  /**
   * Stores a session that is new, inside a task. Returns the function that tells of it, to be called once the session is
   * to stay.
   */
  create(state: SessionState): Promise<() => void> {
    return state.shared.exclusively(async () => {
      const tell = await this.#save_version(state, state.versions[0] as Version, this.#policies);
      this.#unmark(state);
      return tell;
    });
  }

  /** Brings a session up to what is wanted. Runs inside a task. Where it throws, the rest stays wanted. */
  save(state: SessionState, policies = this.#policies): Promise<void> {
    return this.#save_while(state, policies, () => true);
  }

  /**
   * Brings a session up to the version of an explicit save. Runs inside that save's task.
   * @throws {SessionError} `not_found` where the session was deleted.
   */
  async save_awaited(state: SessionState, version: Version): Promise<void> {
    version.is_awaited = false;
    try {
      await this.#save_while(state, this.#policies, () => state.versions.includes(version));
    } finally {
      if (state.is_dirty && state.versions.at(-1) !== version) {
        this.save_in_background(state); // turns that completed behind this save
      }
    }
    if (state.shared.deletion !== undefined) {
      throw session_not_found(state.id);
    }
    if (version.refused !== undefined) {
      throw version.refused as Error;
    }
  }

  async #save_while(state: SessionState, policies: SavePolicies, is_left: (next: Version) => boolean): Promise<void> {
    await state.shared.exclusively(async () => {
      if (state.shared.deletion !== undefined) {
        return this.forget(state);
      }
      for (let [next] = state.versions; next !== undefined && is_left(next); [next] = state.versions) {
        const tell = await this.#save_version(state, next, policies);
        tell();
      }
      this.#unmark(state);
    });
  }

  /** Returns the function that emits what happened. */
  async #save_version(state: SessionState, version: Version, policies: SavePolicies): Promise<() => void> {
    const { id } = state;
    const task = new SaveTask(this.#store, (of) => this.#family.state_of(of), policies, state, version);
    const trace = { operation: "save", session_id: id, count: task.history.storable(task.count) };
    let saved: Saved;
    try {
      saved = await trace_manager(trace, () => task.run());
    } catch (error) {
      this.#events.failures.note("save", id, error);
      throw error;
    }
    if (state.versions.length === 0) {
      this.#events.failures.made_good("save", id);
    }
    this.#family.unflushed.add(state.id);
    const { conflict, read, unprotected } = saved;
    if (unprotected !== undefined) {
      this.#events.tell(unprotected, "save", { session_id: id });
    }
    return () => {
      if (conflict !== undefined) {
        this.#events.failures.forget(conflict.id); // that session belongs to the other writer now
        trace_event({ operation: "conflict", session_id: conflict.id, fork_id: conflict.fork_id });
        this.#events.emit("conflict", Object.freeze(conflict));
      }
      this.#events.emit("save", messages_event(state.id, read));
    };
  }

  /** Gives up everything that is wanted of a session. */
  forget(state: SessionState): void {
    state.abandon();
    this.#unmark(state);
    this.#family.unflushed.delete(state.id);
  }

  /** Notes a session that was written in another way. */
  wrote(id: string): void {
    this.#family.unflushed.add(id);
  }

  /** Brings the at-rest form of one session up to date. */
  async flush_session(id: string): Promise<void> {
    this.#family.unflushed.add(id); // until it succeeds
    await this.#events.failures.watch("flush", id, () => this.#store.flush(id));
    this.#family.unflushed.delete(id);
  }

  /** Waits for pending writes, children included, retries failed ones, and brings every at-rest form up to date. */
  async flush(): Promise<void> {
    const flushed = this.#flushing.then(async () => {
      const errors: unknown[] = [];
      const fail = (error: unknown) => void errors.push(error);
      await this.#settle(fail);
      for (const queue of [...this.#family.at_work].filter((other) => other !== this)) {
        await queue.#settle(fail);
      }
      for (const id of [...this.#family.unflushed]) {
        await this.enqueue(async () => {
          if (this.#family.unflushed.has(id)) {
            await this.flush_session(id); // unless it was deleted meanwhile
          }
        }).catch(fail);
      }
      const error = errors[0] ?? this.#family.unstorable_turn();
      if (error !== undefined) {
        throw error as Error;
      }
    });
    this.#flushing = flushed.catch(() => undefined); // the outcome goes to the caller
    return flushed;
  }

  async #settle(fail: (error: unknown) => void): Promise<void> {
    await this.enqueue(async () => {
      for (const state of [...this.dirty]) {
        await this.save(state).catch(fail);
      }
    });
    await this.drafts_settled();
  }

  /** Returns the function that reports turns of a session that cannot be stored, each once. */
  left_out_of(state: SessionState): (turn: LeftOut) => void {
    return ({ error, content }) => {
      if (this.#family.note_unstorable(state, content)) {
        this.#events.tell(error, "save", { session_id: state.id });
      }
    };
  }

  /** Keeps a session until it is stored. `flush()` tries. */
  hold(state: SessionState): void {
    if (state.is_dirty) {
      this.dirty.add(state);
      this.#family.at_work.add(this);
    }
  }

  #unmark(state: SessionState): void {
    if (!state.is_dirty) {
      this.dirty.delete(state);
      this.#rest();
    }
  }

  #rest(): void {
    if (this.#pending === 0 && this.dirty.size === 0) {
      this.#family.at_work.delete(this);
    }
  }

  #count<T>(work: Promise<T>): Promise<T> {
    this.#family.at_work.add(this);
    this.#add(1);
    const ended = () => this.#add(-1);
    work.then(ended, ended);
    return work;
  }

  #add(count: number): void {
    this.#pending += count;
    this.#rest();
    if (this.#parent !== undefined) {
      this.#parent.#add(count);
    }
  }
}
