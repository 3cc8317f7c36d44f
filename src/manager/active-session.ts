import type { CheckpointState, Usage } from "@simulacra-ai/core";
import { has_code } from "../errors.js";
import { label_from_messages } from "../label.js";
import type { MetadataPatch } from "../metadata.js";
import type { SessionMetadata } from "../types.js";
import { add_usage } from "../usage.js";
import { Timeline, type Messages } from "./timeline.js";

/** What the store is known to hold of a session. */
export interface StoredState {
  timeline: Timeline;
  /** How many messages of the timeline are stored, inherited ones included. */
  count: number;
  /** Unknown: the next write compares with what is stored. */
  revision: string | undefined;
}

/** The session that a manager holds: what its conversation has held, what is stored, what is yet to be. */
export class ActiveSession {
  id: string;
  timeline: Timeline;
  /** The same object for what goes on as one session: through a conflict, a rewind, and being loaded again. */
  origin: object = {};
  /** `undefined`: no write has succeeded yet. */
  stored: StoredState | undefined;
  /** A parent whose id is asked for when the record is written: a conflict may have moved it by then. */
  parent: ActiveSession | undefined;
  checkpoint_state: CheckpointState | undefined;
  /** Where the history that the application replaced is kept, until its successor is stored. */
  replaced_id: string | undefined;
  #pending: MetadataPatch;
  #known: MetadataPatch;

  constructor(id: string, timeline: Timeline, known: MetadataPatch, pending: MetadataPatch = {}) {
    this.id = id;
    this.timeline = timeline;
    this.#known = known;
    this.#pending = pending;
    this.checkpoint_state = known.checkpoint_state ?? undefined;
  }

  /** A session that is not stored yet. */
  static create(metadata: MetadataPatch, inherited = 0): ActiveSession {
    return new ActiveSession(crypto.randomUUID(), new Timeline(inherited), metadata, metadata);
  }

  get label(): string | undefined {
    return this.#known.label ?? undefined;
  }

  /** The timeline on which these messages are: the one so far, or a new one where they do not continue it. */
  follow(messages: Messages): Timeline {
    const matching = this.timeline.matching(messages);
    if (matching < this.timeline.length) {
      const { inherited, detaches } = this.timeline;
      const cuts_inherited = matching < inherited;
      this.timeline = new Timeline(cuts_inherited ? 0 : inherited, detaches || cuts_inherited);
    }
    this.timeline.extend(messages);
    return this.timeline;
  }

  /** Metadata for the next write; it stays pending until a write succeeds. */
  note(metadata: MetadataPatch): void {
    this.#known = { ...this.#known, ...metadata };
    this.#pending = { ...this.#pending, ...metadata };
  }

  note_usage(turn: Usage): void {
    this.note({ usage: add_usage(this.#known.usage ?? undefined, turn) });
  }

  /** All that is known of its metadata. */
  get metadata(): MetadataPatch {
    return this.#known;
  }

  /** Goes on under another id, with this metadata. */
  move_to(id: string, metadata: MetadataPatch): void {
    this.id = id;
    this.#known = metadata;
  }

  /** What the application says of its session and a save under way is to store. */
  expect(given: MetadataPatch): void {
    this.#known = { ...this.#known, ...given };
  }

  /** The store refused it. */
  unexpect(given: MetadataPatch): void {
    const refused = new Set(Object.keys(given));
    this.#known = Object.fromEntries(Object.entries(this.#known).filter(([key]) => !refused.has(key)));
  }

  note_label(label: string): void {
    this.note({ label, label_source: "user" });
  }

  /** What another hand stored already. */
  learn_label(label: string): void {
    this.#known = { ...this.#known, label, label_source: "user" };
    const { label: _label, label_source: _source, ...rest } = this.#pending;
    this.#pending = rest;
  }

  /** Gives a session without a label one, once. */
  note_auto_label(messages: Messages): void {
    if (this.#known.label === undefined || this.#known.label === null) {
      const label = label_from_messages(messages.slice(this.timeline.inherited));
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
      this.note({ checkpoint_state: state ? { ...state } : null });
    }
  }

  /** What it inherited was written into it. */
  make_self_contained(revision: string | undefined): void {
    this.timeline.inherited = 0;
    this.#known = { ...this.#known, detached: true };
    if (this.stored !== undefined) {
      this.stored = { ...this.stored, revision };
    }
  }

  /** What is stored may have been written anew: the next write compares. */
  forget_revision(): void {
    if (this.stored !== undefined) {
      this.stored = { ...this.stored, revision: undefined };
    }
  }

  /**
   * Takes what is pending, and what one save gives, for a write. `restore` puts it back where the write failed; what a
   * save gave is not tried again where the store refused it.
   */
  take_pending(given: MetadataPatch = {}): { metadata: Partial<SessionMetadata>; restore: (error: unknown) => void } {
    const taken = this.#pending;
    const parent = this.parent;
    const metadata = { ...taken, ...given, ...(parent && { parent_id: parent.id }) };
    this.#pending = {};
    this.parent = undefined;
    return {
      metadata: metadata as Partial<SessionMetadata>,
      restore: (error) => {
        const is_refused = has_code(error, "invalid_input") || has_code(error, "invalid_id");
        this.#pending = { ...taken, ...(is_refused ? {} : given), ...this.#pending };
        if (is_refused) {
          this.unexpect(given);
        }
        this.parent ??= parent;
      },
    };
  }
}
