import type { AssistantMessage, UserMessage } from "@simulacra-ai/core";
import { has_capability } from "../capabilities.js";
import { same_prompt } from "../draft.js";
import { has_code } from "../errors.js";
import type { SessionDraft } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import type { EngineParts } from "./current-session.js";

/** A turn between its prompt and its end. */
interface Turn {
  session: ActiveSession;
  draft: SessionDraft;
  /** The draft has changed since its last write began. */
  is_dirty: boolean;
  /** Core holds prompt and reply: the session will, and the draft is void. */
  is_complete: boolean;
}

/** The turn whose draft was stored last, and in which session. */
interface Kept {
  id: string;
  turn: Turn;
}

/**
 * Keeps the turn under way beside the session: its prompt at once, and of the answer what there is, at most once an
 * interval. Drafts have an order of their own, so that none waits behind a save.
 */
export class DraftKeeper {
  readonly #parts: EngineParts;
  readonly #is_on: boolean;
  readonly #interval_ms: number;
  #turn: Turn | undefined;
  readonly #kept = new WeakMap<ActiveSession, Kept>();
  #writing: Promise<void> = Promise.resolve();
  #last_write_began = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: EngineParts, { is_on, interval_ms }: { is_on: boolean; interval_ms: number }) {
    this.#parts = parts;
    this.#is_on = is_on;
    this.#interval_ms = interval_ms;
    parts.pipeline.moved = (session) => this.#in_background(session, () => this.#follow(session));
  }

  /** A session was read, and the draft that it has. */
  loaded(session: ActiveSession, draft: SessionDraft | undefined): void {
    if (draft !== undefined) {
      session.draft = Object.freeze(draft);
      const turn = { session, draft: session.draft, is_dirty: false, is_complete: false };
      this.#kept.set(session, { id: session.id, turn });
    }
  }

  prompt_sent(prompt: UserMessage): void {
    const { session } = this.#parts.current;
    if (!this.#is_on || session === undefined || !has_capability(this.#parts.port.store, "set_draft")) {
      return;
    }
    this.#stop_waiting();
    const draft = Object.freeze({ prompt, updated_at: new Date().toISOString() });
    this.#turn = { session, draft, is_dirty: true, is_complete: false };
    session.draft = draft;
    this.#write(this.#turn);
  }

  answer_updated(partial: Partial<AssistantMessage>): void {
    const turn = this.#turn;
    if (turn === undefined) {
      return;
    }
    turn.draft = Object.freeze({ prompt: turn.draft.prompt, partial, updated_at: new Date().toISOString() });
    turn.session.draft = turn.draft;
    turn.is_dirty = true;
    if (this.#timer === undefined) {
      const elapsed = performance.now() - this.#last_write_began;
      this.#timer = setTimeout(() => this.refresh(), Math.max(0, this.#interval_ms - elapsed));
      this.#timer.unref();
    }
  }

  /** The turn is among the conversation's messages. */
  turn_completed(): void {
    this.#stop_waiting();
    const turn = this.#turn;
    if (turn === undefined) {
      return;
    }
    this.#turn = undefined;
    turn.is_complete = true;
    turn.session.draft = undefined;
    if (turn.session !== this.#parts.current.session) {
      this.#in_background(turn.session, () => this.#remove(turn.session)); // it is saved elsewhere
    }
  }

  /** Stores what has come of the answer, however little time has passed. */
  refresh(): void {
    this.#stop_waiting();
    if (this.#turn?.is_dirty) {
      this.#write(this.#turn);
    }
  }

  /** The conversation is at rest: unless it says at once that the turn is complete, it failed or was cancelled. */
  turn_may_have_ended(): void {
    const turn = this.#turn;
    if (turn !== undefined) {
      setImmediate(() => this.#turn === turn && this.turn_abandoned());
    }
  }

  /** It failed, or nobody will hear of its end: what there is of it stays. */
  turn_abandoned(): void {
    this.refresh();
    this.#turn = undefined;
  }

  /** Removes the draft of a session, and keeps none of the turn under way. */
  async discard(session: ActiveSession): Promise<void> {
    this.turn_completed();
    session.draft = undefined;
    const { store } = this.#parts.port;
    if (has_capability(store, "set_draft")) {
      await this.#in_order(() => store.set_draft(session.id, undefined));
      this.#kept.delete(session);
    }
  }

  #stop_waiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #write(turn: Turn): void {
    this.#in_background(turn.session, () => this.#store(turn));
  }

  async #store(turn: Turn): Promise<void> {
    const { pipeline } = this.#parts;
    const { session } = turn;
    if (session.stored === undefined) {
      await pipeline.stored_once(session);
    }
    if (!turn.is_dirty || pipeline.is_deleted(session.id)) {
      return;
    }
    if (!turn.is_complete) {
      turn.is_dirty = false;
      this.#last_write_began = performance.now();
      await this.#put(turn).catch((error: unknown) => {
        turn.is_dirty = true;
        throw error;
      });
    } else if (this.#kept.get(session)?.turn.is_complete === false) {
      await this.#remove(session); // of an earlier turn, which failed: a save takes none but its own turn's with it
    }
  }

  async #put(turn: Turn): Promise<void> {
    const { store } = this.#parts.port;
    const { id } = turn.session;
    if (has_capability(store, "set_draft")) {
      try {
        await store.set_draft(id, turn.draft);
        this.#kept.set(turn.session, { id, turn });
      } catch (error) {
        if (!has_code(error, "not_found")) {
          throw error;
        } // the session was deleted, and its drafts with it
      }
    }
  }

  /** A session goes on under another id: its draft comes along, unless the turn is stored there. */
  async #follow(session: ActiveSession): Promise<void> {
    const kept = this.#kept.get(session);
    if (kept !== undefined && kept.id !== session.id) {
      if (!kept.turn.is_complete) {
        await this.#put(kept.turn);
      }
      await this.#remove_from(kept);
    }
  }

  async #remove(session: ActiveSession): Promise<void> {
    const kept = this.#kept.get(session);
    if (kept !== undefined) {
      await this.#remove_from(kept);
      this.#kept.delete(session);
    }
  }

  /** Where another writer has left one meanwhile, that stays. */
  async #remove_from({ id, turn }: Kept): Promise<void> {
    const { store } = this.#parts.port;
    if (has_capability(store, "set_draft")) {
      const draft = (await store.load(id))?.draft;
      if (draft !== undefined && same_prompt(draft, turn.draft)) {
        await store.set_draft(id, undefined);
      }
    }
  }

  #in_background(session: ActiveSession, task: () => Promise<void>): void {
    const { events, pipeline } = this.#parts;
    const done = this.#in_order(task).catch((error: unknown) =>
      events.report(error, "draft", { session_id: session.id }),
    );
    pipeline.track(done);
  }

  #in_order(task: () => Promise<void>): Promise<void> {
    const result = this.#writing.then(task);
    this.#writing = result.catch(() => undefined); // whoever asked for it hears of it
    return result;
  }
}
