import type { CheckpointState, Usage } from "@simulacra-ai/core";
import { has_code, type SessionError } from "../errors.js";
import { label_from_messages } from "../label.js";
import type { MetadataPatch } from "../metadata.js";
import type { SessionDraft } from "../types.js";
import { add_usage } from "../usage.js";
import { lineage_of } from "./lineage-plan.js";
import type { Metadata } from "./store-port.js";
import { Timeline, type Messages } from "./timeline.js";

/** What the store is known to hold of a session. */
export interface StoredState {
  timeline: Timeline;
  /** How many messages of the timeline are stored, inherited ones included. */
  count: number;
  /** Unknown: the next write compares with what is stored. */
  revision: string | undefined;
}

/** What the application says of its session with one save. */
export interface Given {
  metadata: MetadataPatch;
  /** The store refused it: what was known before counts again. */
  withdraw(): void;
}

/** Metadata that the next write is to store. */
interface Note {
  /** Its place among the notes; 0: counts at once, whenever the messages that it goes with were captured. */
  at: number;
  metadata: MetadataPatch;
  given?: Given;
}

/** Metadata for one write. */
export interface Taken {
  metadata: Metadata;
  /** What the application says of the session's parent, if it does. */
  lineage: MetadataPatch | undefined;
  /** The write failed: all stays pending but what an application gave and the store refused. */
  restore(error: unknown): void;
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
  /** The turn that was interrupted, or is under way. */
  draft: SessionDraft | undefined;
  /** Where the history that the application replaced is kept, until its successor is stored. */
  replaced: { id: string; messages: Messages } | undefined;
  /** Under which id our history is stored beside another writer's, until it is. */
  beside_id: string | undefined;
  #pending: Note[];
  #noted = 0;
  #known: MetadataPatch;

  constructor(id: string, timeline: Timeline, known: MetadataPatch, pending: MetadataPatch = {}) {
    this.id = id;
    this.timeline = timeline;
    this.#known = known;
    this.#pending = [{ at: 0, metadata: pending }];
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
      const { inherited } = this.timeline;
      this.timeline = new Timeline(matching < inherited ? 0 : inherited);
    }
    this.timeline.extend(messages);
    return this.timeline;
  }

  /** Metadata for the next write of messages that are captured from now on; it stays pending until one succeeds. */
  note(metadata: MetadataPatch): void {
    this.#noted += 1;
    this.#note({ at: this.#noted, metadata });
  }

  /** How many notes there were so far: a capture takes no later ones with it. */
  get noted(): number {
    return this.#noted;
  }

  #note(note: Note): void {
    this.#known = { ...this.#known, ...note.metadata };
    this.#pending.push(note);
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
  expect(metadata: MetadataPatch): Given {
    const before = new Map(Object.entries(this.#known));
    this.#known = { ...this.#known, ...metadata };
    const withdraw = () => {
      const known = new Map(Object.entries(this.#known));
      for (const [key, value] of Object.entries(metadata)) {
        if (known.get(key) === value) {
          known.set(key, before.get(key)); // nobody has said otherwise since
        }
      }
      this.#known = Object.fromEntries(known);
    };
    return { metadata, withdraw };
  }

  note_label(label: string): void {
    this.#note({ at: 0, metadata: { label, label_source: "user" } });
  }

  /** What another hand stored already. */
  learn_label(label: string): void {
    this.#known = { ...this.#known, label, label_source: "user" };
    this.#pending = this.#pending.map(
      ({ metadata: { label: _label, label_source: _source, ...metadata }, ...note }) => ({
        ...note,
        metadata,
      }),
    );
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

  /** Takes for a write what was noted before its messages were captured, and what its save gives. */
  take_pending({ noted, given }: { noted: number; given?: Given | undefined }): Taken {
    const notes = this.#pending.filter(({ at }) => at <= noted);
    this.#pending = this.#pending.filter(({ at }) => at > noted);
    if (given !== undefined) {
      notes.push({ at: 0, metadata: given.metadata, given });
    }
    const { parent } = this;
    this.parent = undefined;
    const lineage = lineage_of(merged(notes.filter((note) => note.given)));
    return {
      metadata: { ...merged(notes), ...(parent && { parent_id: parent.id }) } as Metadata,
      lineage,
      restore: (error) => {
        const is_refused = says_refused(error) || (lineage !== undefined && says_damaged_parent(error, this.id));
        const kept = notes.filter((note) => !(is_refused && note.given));
        this.#pending = [...kept, ...this.#pending];
        if (is_refused) {
          notes.forEach((note) => note.given?.withdraw());
        }
        this.parent ??= parent;
      },
    };
  }
}

/** Whether the same metadata will never be stored. */
function says_refused(error: unknown): boolean {
  return (["invalid_input", "invalid_id", "lineage"] as const).some((code) => has_code(error, code));
}

function says_damaged_parent(error: unknown, own_id: string): boolean {
  return has_code(error, "corrupt") && (error as SessionError).session_id !== own_id;
}

function merged(notes: readonly Note[]): MetadataPatch {
  return Object.assign({}, ...notes.map(({ metadata }) => metadata)) as MetadataPatch;
}
