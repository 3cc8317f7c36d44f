import type { CheckpointState, Usage } from "@simulacra-ai/core";
import { label_from_messages } from "../label.js";
import type { MetadataPatch } from "../metadata.js";
import { add_usage } from "../usage.js";
import { WriteQueue } from "../async/queue.js";
import { has_message, type Messages } from "../messages.js";
import type { SessionDraft } from "../types.js";
import type { History } from "./history.js";
import type { Metadata, Written } from "./store-access.js";

/** The part of a history that the store is known to hold. */
export interface Stored extends Written {
  history: History;
  /** The number of messages of the history that are stored. It never decreases for one history. */
  count: number;
}

/** The facts about one session id that a manager and the managers of its children share. */
export class SharedSession {
  /** `undefined` until a write has succeeded. */
  stored: Stored | undefined;
  /** The stored metadata, as far as they are known. */
  known: MetadataPatch = {};
  /** Set while a manager of the family deletes the session, and after that. Nothing of the session is written then. */
  deletion: "under way" | "done" | undefined;
  /** True after a failed deletion, which may have taken effect. */
  may_be_gone = false;
  /** Runs one write at a time, whichever manager it comes from. */
  readonly writes = new WriteQueue();

  constructor(readonly id: string) {}

  /** Records that the record holds all messages itself now. The next save reads the record first. */
  mark_materialized(): void {
    this.known = { ...this.known, detached: true };
    if (this.stored) {
      this.stored.is_certain = false;
      this.stored.history.inherited = 0;
    }
  }

  /** Waits until no write is under way. No other write begins until the returned function is called. */
  lock(): Promise<() => void> {
    return new Promise((locked) => void this.writes.run(() => new Promise<void>(locked)));
  }
}

export interface DraftTurn {
  readonly session: SessionState;
  /** The number of messages that the conversation held before the turn. */
  readonly base: number;
  draft: SessionDraft;
  /** True when the turn is no longer under way. */
  is_over: boolean;
}

export interface StoredDraft {
  readonly id: string;
  readonly turn: DraftTurn;
  readonly draft: SessionDraft;
  /** The draft is void when this `want` of its session is stored. */
  void_at: number;
}

/** A state of the conversation that is to be stored. `want` creates or extends one. */
export interface Version {
  readonly history: History;
  /** In positions of the history. Messages that are left out are included. */
  count: number;
  /** The number of the newest `want` that the version covers. */
  want: number;
  /** Metadata that follow from the conversation. */
  metadata: MetadataPatch;
  /** Metadata of the application, with an explicit save. */
  given?: MetadataPatch | undefined;
  /** True while an explicit save waits to store this version. A background save leaves the version to that save. */
  is_awaited?: boolean;
  /** The store will never take `given`, for this reason. */
  refused?: unknown;
}

/**
 * One session of a manager: the messages that the conversation has held (`history`), the states to be stored
 * (`versions`) and the state that is stored (`stored`). A save stores the versions in order. A failed write keeps them.
 */
export class SessionState {
  /** The states that are to be stored, oldest first. Only the newest can still grow. */
  readonly versions: Version[] = [];
  /** The parent of a child. The parent's id is read when the record is written, since a conflict may change the id. */
  parent: SessionState | undefined;
  checkpoint_state: CheckpointState | undefined;
  /** The session that keeps the replaced history. A retry uses the same id. */
  replaced: { id: string; messages: Messages } | undefined;
  /** The fork that stores our history after a conflict. A retry uses the same id and date. */
  conflict_fork: { id: string; date: string } | undefined;
  /** Protects the forks that were made while the session was cut. Set until the protection succeeds. */
  protect_late_forks: (() => Promise<void>) | undefined;
  /** The turn whose draft should be stored. */
  draft_turn: DraftTurn | undefined;
  stored_draft: StoredDraft | undefined;
  /** A background save waits in the queue. */
  is_queued = false;
  /** The number of calls of `want` so far. */
  newest_want = 0;
  /** The number of the newest `want` that is stored. */
  stored_want = 0;
  /** Metadata that go with the next `want`. */
  #noted: MetadataPatch = {};

  /** `history` is the one that the conversation follows. */
  constructor(
    public shared: SharedSession,
    public history: History,
  ) {}

  get id(): string {
    return this.shared.id;
  }

  get stored(): Stored | undefined {
    return this.shared.stored;
  }

  /** The metadata, stored or not. */
  get metadata(): MetadataPatch {
    const wanted = this.versions.flatMap(({ metadata, given }) => [metadata, given]);
    return Object.assign({}, this.shared.known, ...wanted, this.#noted) as MetadataPatch;
  }

  /** True while a version waits, or late forks are unprotected. Noted metadata alone do not count. */
  get is_dirty(): boolean {
    return this.versions.length > 0 || this.protect_late_forks !== undefined;
  }

  /** Marks the state of the conversation as to be stored: with `given`, edits in place included. */
  want(messages: Messages, given?: MetadataPatch): Version {
    this.history = this.history.follow(messages, given !== undefined);
    let version = this.versions.at(-1);
    if (version?.history !== this.history || version.given) {
      version = { history: this.history, count: 0, want: 0, metadata: {}, given, is_awaited: given !== undefined };
      this.versions.push(version);
    }
    this.newest_want += 1;
    version.count = this.history.length;
    version.want = this.newest_want;
    version.metadata = { ...version.metadata, ...this.#noted };
    this.#noted = {};
    return version;
  }

  /**
   * Marks the stored history as to be stored again, before any pending version: a failed write may have cut the record.
   * Does nothing if `messages` do not hold that history.
   */
  want_again(messages: Messages): void {
    const { stored } = this;
    const is_first = stored !== undefined && this.versions[0]?.history === stored.history;
    if (stored && !is_first && stored.history.recall(messages, stored.count)) {
      this.versions.unshift({ history: stored.history, count: stored.count, want: this.stored_want, metadata: {} });
    }
  }

  note(metadata: MetadataPatch): void {
    Object.assign(this.#noted, metadata);
  }

  /** Adds metadata to the next write, whichever version that stores. The metadata replace pending values. */
  note_now(metadata: MetadataPatch): void {
    this.learn(metadata);
    const [next] = this.versions;
    if (!next) {
      this.note(metadata);
    } else {
      next.metadata = { ...next.metadata, ...metadata };
    }
  }

  note_usage(turn: Usage): void {
    this.note({ usage: add_usage(this.metadata.usage ?? undefined, turn) });
  }

  /** Labels a session without a label by the first text of the user. */
  note_auto_label(messages: Messages): void {
    if ((this.metadata.label ?? undefined) === undefined) {
      const label = label_from_messages(messages.slice(this.history.inherited));
      if (label !== undefined) {
        this.note({ label, label_source: "auto" });
      }
    }
  }

  /** Notes the state of a checkpoint if `messages` hold the message that the state points to. */
  note_checkpoint(state: CheckpointState | undefined, messages: Messages): void {
    const before = this.checkpoint_state;
    if (state?.message_id === before?.message_id && state?.summary === before?.summary) {
      return;
    }
    if (!state || has_message(messages, state.message_id)) {
      this.checkpoint_state = state && { ...state };
      this.note({ checkpoint_state: state ? { message_id: state.message_id, summary: state.summary } : null });
    }
  }

  /** Notes metadata that another call has stored. The metadata replace pending values. */
  learn(metadata: MetadataPatch): void {
    this.shared.known = { ...this.shared.known, ...metadata };
    this.#noted = without(this.#noted, metadata);
    for (const version of this.versions) {
      version.metadata = without(version.metadata, metadata);
      version.given &&= without(version.given, metadata);
    }
  }

  /** Records a successful write. `begun` is the version as it was when the write began. */
  mark_stored(version: Version, begun: Version, metadata: Metadata, written: Written): void {
    this.shared.stored = { history: version.history, count: begun.count, ...written };
    this.shared.may_be_gone = false;
    this.shared.known = { ...this.shared.known, ...metadata };
    this.stored_want = begun.want;
    this.parent = undefined;
    this.replaced = undefined;
    this.conflict_fork = undefined;
    if (version.want === begun.want) {
      this.versions.splice(this.versions.indexOf(version), 1);
    }
    version.history.release(begun.count, !this.versions.some(({ history }) => history === version.history));
  }

  /** Drops everything that is to be stored, and continues from the stored record. */
  restart(history: History, known: MetadataPatch, { revision, is_certain }: Written): void {
    this.versions.length = 0;
    this.stored_want = this.newest_want;
    this.#noted = {};
    this.history = history;
    this.shared.known = known;
    this.checkpoint_state = known.checkpoint_state ?? undefined;
    this.shared.stored = { history, count: history.length, revision, is_certain };
  }

  /** Makes the next write read the record first, because a failed write may have taken effect. */
  mark_uncertain(): void {
    if (this.shared.stored) {
      this.shared.stored.is_certain = false;
    }
  }
}

function without(metadata: MetadataPatch, other: MetadataPatch): MetadataPatch {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => !(key in other)));
}
