import type { CheckpointState, Usage } from "@simulacra-ai/core";
import { has_code, type SessionError } from "../errors.js";
import { label_from_messages } from "../label.js";
import type { MetadataPatch } from "../metadata.js";
import type { SessionDraft } from "../types.js";
import { add_usage } from "../usage.js";
import { WriteQueue } from "../async/queue.js";
import type { Messages } from "../messages.js";
import type { History, LeftOut } from "./history.js";
import type { Metadata, Written } from "./store-access.js";

/** The state of a session that the store is known to hold. */
export interface Stored {
  history: History;
  /** The number of messages of the history that are stored. It never decreases for one history. */
  count: number;
  /** The newest revision that is known to be ours. */
  revision: string | undefined;
  /** False where the store may hold something else by now: the next write reads the record and compares. */
  is_certain: boolean;
}

/** Facts about one session id, shared by a manager and its children. */
export class StoredState {
  readonly id: string;
  /** `undefined` until a write has succeeded. */
  stored: Stored | undefined;
  /** A deletion through this manager is under way, or done. Nothing of the session is written then. */
  deletion: "under way" | "done" | undefined;
  /** A deletion failed that may have taken effect. */
  may_be_gone = false;
  /** The label that a user gave, as far as this manager knows. */
  user_label: string | undefined;
  /** Draft writes at the store. They bypass the queues, and a deletion waits for them. */
  readonly draft_calls = new Set<Promise<unknown>>();
  readonly #writes = new WriteQueue();

  constructor(id: string) {
    this.id = id;
  }

  /** Runs one write at a time, whichever manager it comes from. */
  exclusively<T>(task: () => Promise<T>): Promise<T> {
    return this.#writes.run(task);
  }

  /** Resolves when no write is under way. No other one begins until the returned function is called. */
  lock(): Promise<() => void> {
    return new Promise((locked) => void this.#writes.run(() => new Promise<void>(locked)));
  }
}

/** Metadata that the application gives with one `save()`. */
export interface Given {
  metadata: MetadataPatch;
  /** The part of it that names a parent. */
  lineage: MetadataPatch | undefined;
}

/** A state that the conversation has reached and the store is to reach, too. */
export interface Version {
  readonly history: History;
  count: number;
  /** The number of the newest `want` that it answers. */
  asked: number;
  /** Notes up to this one go with it. */
  noted: number;
  /** Metadata of an explicit save. */
  given?: Given | undefined;
  /** The caller of an explicit save waits for its own task, and hears of its failure there. */
  is_awaited?: boolean;
  /** The store will never take `given`, for this reason. */
  refused?: unknown;
}

/** Metadata that goes with the versions that are wanted behind it. */
interface Note {
  /** Its number. 0: it goes with any version. */
  at: number;
  metadata: MetadataPatch;
}

/**
 * One session as a manager keeps it: what the conversation has held (`history`), what is wanted (`versions` and pending
 * metadata) and what is stored. A save brings `stored` up to what is wanted; a failed write leaves the difference.
 */
export class SessionState {
  /** The history that the conversation follows. */
  history: History;
  /** States that are not stored yet, oldest first. Only the newest can still grow. */
  readonly versions: Version[] = [];
  /** The parent of a child. Its id is read when the record is written, since a conflict may have moved it. */
  parent: SessionState | undefined;
  checkpoint_state: CheckpointState | undefined;
  /** The turn under way, or the last one where it was interrupted. */
  draft: SessionDraft | undefined;
  /** Where the replaced history is kept, so that a retry uses the same id. */
  replaced: { id: string; messages: Messages } | undefined;
  /** The id for our history beside another writer's, so that a retry uses the same one. */
  beside_id: string | undefined;
  /** A background save waits in the queue. */
  is_queued = false;
  #shared: StoredState;
  #known: MetadataPatch;
  #notes: Note[] = [];
  #noted = 0;
  #asked = 0;
  #reached = 0;

  constructor(shared: StoredState, history: History, known: MetadataPatch) {
    this.#shared = shared;
    this.history = history;
    this.#known = known;
    this.checkpoint_state = known.checkpoint_state ?? undefined;
  }

  get id(): string {
    return this.#shared.id;
  }

  get shared(): StoredState {
    return this.#shared;
  }

  get stored(): Stored | undefined {
    return this.#shared.stored;
  }

  /** All that is known of the metadata, stored or not. */
  get metadata(): MetadataPatch {
    const given = this.versions.map((version) => version.given?.metadata);
    return Object.assign({}, this.#known, ...given, ...this.#notes.map((note) => note.metadata)) as MetadataPatch;
  }

  /** True while the store lacks something of this session. */
  get is_dirty(): boolean {
    return this.versions.length > 0;
  }

  /** How often something was wanted so far. */
  get asked(): number {
    return this.#asked;
  }

  /** The newest `want` that is stored, by its number. */
  get reached(): number {
    return this.#reached;
  }

  /** Follows the conversation and wants its state stored. */
  want(messages: Messages, left_out: (turn: LeftOut) => void): void {
    this.history = this.history.follow(messages, left_out);
    const newest = this.versions.at(-1);
    const version = this.#version();
    if (newest?.history === this.history && newest.given === undefined) {
      Object.assign(newest, version);
    } else {
      this.versions.push(version);
    }
  }

  /** Wants a copy of every message stored, with metadata of the application. Returns what was wanted. */
  want_exactly(messages: Messages, given: Given, left_out: (turn: LeftOut) => void): Version {
    this.history = this.history.snapshot(messages, left_out);
    const version = { ...this.#version(), given, is_awaited: true };
    this.versions.push(version);
    return version;
  }

  /** Wants the stored history before everything else, where these messages hold it. */
  want_again(messages: Messages): void {
    const { stored } = this;
    const is_first = stored !== undefined && this.versions[0]?.history === stored.history;
    if (stored !== undefined && !is_first && stored.history.recall(messages, stored.count)) {
      this.versions.unshift({ history: stored.history, count: stored.count, asked: this.#reached, noted: 0 });
    }
  }

  #version(): Version {
    this.#asked += 1;
    return { history: this.history, count: this.history.length, asked: this.#asked, noted: this.#noted };
  }

  /** Gives up everything that is wanted. */
  abandon(): void {
    this.versions.length = 0;
  }

  /** Pending metadata. It goes with the versions that are wanted from now on, and stays until one is stored. */
  note(metadata: MetadataPatch): void {
    const last = this.#notes.at(-1);
    const is_open = last !== undefined && last.at > (this.versions.at(-1)?.noted ?? 0);
    if (is_open) {
      Object.assign(last.metadata, metadata);
    } else {
      this.#noted += 1;
      this.#notes.push({ at: this.#noted, metadata: { ...metadata } });
    }
  }

  /** Pending metadata that goes with the next write, whatever that stores. */
  note_now(metadata: MetadataPatch): void {
    this.#notes.push({ at: 0, metadata });
  }

  note_usage(turn: Usage): void {
    this.note({ usage: add_usage(this.metadata.usage ?? undefined, turn) });
  }

  /** Gives a session without a label one, from the first text of the user. */
  note_auto_label(messages: Messages): void {
    if ((this.metadata.label ?? this.#shared.user_label) === undefined) {
      const label = label_from_messages(messages.slice(this.history.inherited));
      if (label !== undefined) {
        this.note({ label, label_source: "auto" });
      }
    }
  }

  /** A checkpoint's state travels only together with the message that it points to. */
  note_checkpoint(state: CheckpointState | undefined, messages: Messages): void {
    const before = this.checkpoint_state;
    if (state?.message_id === before?.message_id && state?.summary === before?.summary) {
      return;
    }
    if (state === undefined || messages.some((message) => message.id === state.message_id)) {
      this.checkpoint_state = state && { ...state };
      this.note({ checkpoint_state: state ? { message_id: state.message_id, summary: state.summary } : null });
    }
  }

  /** Another call has stored this metadata. It replaces pending values. */
  learn(metadata: MetadataPatch): void {
    this.#known = { ...this.#known, ...metadata };
    const pending = [...this.#notes, ...this.versions.map(({ given }) => given)].map((one) => one?.metadata ?? {});
    for (const key of Object.keys(metadata) as (keyof MetadataPatch)[]) {
      pending.forEach((one) => delete one[key]);
    }
  }

  /** Returns the metadata that go with a version. */
  take({ noted, given }: Version): Metadata {
    const notes = this.#notes.filter(({ at }) => at <= noted).map((note) => note.metadata);
    const parent = this.parent && { parent_id: this.parent.id };
    return Object.assign({}, ...notes, given?.metadata, parent) as Metadata;
  }

  /** The write of a version has succeeded, in the state in which it began, with this metadata. */
  settle(version: Version, begun: Version, metadata: Metadata, { revision, is_certain }: Written): void {
    this.#shared.stored = { history: version.history, count: begun.count, revision, is_certain };
    this.#shared.may_be_gone = false;
    this.#known = { ...this.#known, ...metadata };
    this.#notes = this.#notes.filter(({ at }) => at > begun.noted);
    this.#reached = begun.asked;
    this.parent = undefined;
    this.replaced = undefined;
    this.beside_id = undefined;
    version.given = undefined;
    if (version.asked === begun.asked) {
      this.versions.splice(this.versions.indexOf(version), 1);
    }
    version.history.release(begun.count, !this.versions.some(({ history }) => history === version.history));
  }

  /** Drops metadata that the store will never take. The messages stay wanted. */
  drop_refused(version: Version, error: unknown): void {
    const { given } = version;
    const is_parent_damaged = has_code(error, "corrupt") && (error as SessionError).session_id !== this.id;
    const is_refused = (["invalid_input", "invalid_id", "lineage"] as const).some((code) => has_code(error, code));
    if (given !== undefined && (is_refused || (given.lineage !== undefined && is_parent_damaged))) {
      version.given = undefined;
      version.refused = error;
    }
  }

  /** Goes on under another id, with this metadata. */
  move_to(shared: StoredState, metadata: MetadataPatch): void {
    this.#shared = shared;
    this.#known = metadata;
  }

  /** Goes on from a record of the same session, as it is stored now. */
  restart(history: History, known: MetadataPatch, { revision, is_certain }: Written): void {
    this.versions.length = 0;
    this.#reached = this.#asked;
    this.#notes = [];
    this.history = history;
    this.#known = known;
    this.checkpoint_state = known.checkpoint_state ?? undefined;
    this.#shared.stored = { history, count: history.length, revision, is_certain };
  }

  /** The record holds everything itself now, and names its parent for provenance. */
  make_self_contained(revision: string | undefined): void {
    this.history.inherited = 0;
    this.#known = { ...this.#known, detached: true };
    if (this.#shared.stored !== undefined) {
      this.#shared.stored.revision = revision;
    }
  }

  /** A write may have taken effect, though it failed. */
  doubt(): void {
    if (this.#shared.stored !== undefined) {
      this.#shared.stored.is_certain = false;
    }
  }
}
