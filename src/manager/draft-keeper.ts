import type { AssistantMessage, UserMessage } from "@simulacra-ai/core";
import { has_capability } from "../capabilities.js";
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

/**
 * Keeps the turn under way beside the session: its prompt at once, and of the answer what there is, at most once an
 * interval. Drafts have an order of their own, so that none waits behind a save.
 */
export class DraftKeeper {
  readonly #parts: EngineParts;
  readonly #interval_ms: number;
  #turn: Turn | undefined;
  #writing: Promise<void> = Promise.resolve();
  #last_write_began = -Infinity;
  /** The session in which a turn that failed has left its draft. */
  #left_in: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: EngineParts, interval_ms: number) {
    this.#parts = parts;
    this.#interval_ms = interval_ms;
  }

  prompt_sent(prompt: UserMessage): void {
    const { session } = this.#parts.current;
    if (session === undefined || !has_capability(this.#parts.port.store, "set_draft")) {
      return;
    }
    this.#stop_waiting();
    this.#leave();
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
    if (this.#turn !== undefined) {
      this.#turn.is_complete = true;
      this.#turn.session.draft = undefined;
      this.#turn = undefined;
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
    this.#leave();
  }

  #leave(): void {
    const id = this.#turn?.session.id;
    this.#turn = undefined;
    if (id !== undefined) {
      void this.#in_order(() => Promise.resolve(void (this.#left_in = id)));
    }
  }

  /** Removes the draft of a session, and keeps none of the turn under way. */
  async discard(session: ActiveSession): Promise<void> {
    this.turn_completed();
    session.draft = undefined;
    const { store } = this.#parts.port;
    if (has_capability(store, "set_draft")) {
      await this.#in_order(() => store.set_draft(session.id, undefined));
    }
  }

  #stop_waiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #write(turn: Turn): void {
    const { events, pipeline } = this.#parts;
    const written = this.#in_order(() => this.#store(turn)).catch((error: unknown) =>
      events.report(error, "draft", { session_id: turn.session.id }),
    );
    pipeline.track(written);
  }

  async #store(turn: Turn): Promise<void> {
    const { pipeline, port } = this.#parts;
    const { session } = turn;
    if (session.stored === undefined) {
      await pipeline.stored_once(session);
    }
    const { store } = port;
    if (!has_capability(store, "set_draft") || !turn.is_dirty || pipeline.is_deleted(session.id)) {
      return;
    }
    if (turn.is_complete) {
      if (this.#left_in === session.id) {
        await store.set_draft(session.id, undefined);
        this.#left_in = undefined;
      }
      return;
    }
    turn.is_dirty = false;
    this.#last_write_began = performance.now();
    try {
      await store.set_draft(session.id, turn.draft);
      this.#left_in = undefined;
    } catch (error) {
      if (!has_code(error, "not_found")) {
        turn.is_dirty = true;
        throw error;
      } // the session was deleted, and its drafts with it
    }
  }

  #in_order(task: () => Promise<void>): Promise<void> {
    const result = this.#writing.then(task);
    this.#writing = result.catch(() => undefined); // whoever asked for it hears of it
    return result;
  }
}
