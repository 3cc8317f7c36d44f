import type { AssistantMessage, UserMessage } from "@simulacra-ai/core";
import { has_capability } from "../capabilities.js";
import type { SessionDraft } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import type { EngineParts } from "./current-session.js";
import { DraftWriter, type Turn } from "./draft-writer.js";
import type { SessionManagerOptions } from "./types.js";

/** Beyond it a timer runs at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

type DraftOptions = Pick<Required<SessionManagerOptions>, "drafts" | "auto_save" | "draft_interval_ms">;

/**
 * Keeps the turn under way beside the session: its prompt at once, and of the answer what there is, at most once an
 * interval. Without `auto_save` it keeps none, and hands over those that are there.
 */
export class DraftKeeper {
  readonly #parts: EngineParts;
  readonly #options: DraftOptions;
  readonly #writer: DraftWriter;
  #turns = 0;
  #turn: Turn | undefined;
  /** The last turn, where it has failed: what cannot be stored of it is tried again. */
  #failed: Turn | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: EngineParts, options: DraftOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#writer = new DraftWriter(parts);
  }

  /** A session was read, and the draft that it has. */
  loaded(session: ActiveSession, draft: SessionDraft | undefined): void {
    if (!this.#options.drafts) {
      return;
    }
    if (this.#failed?.session.origin === session.origin) {
      this.#failed = undefined;
    }
    const turn = draft && this.#begin(session, Object.freeze(draft));
    session.draft = turn?.draft;
    this.#writer.loaded(session, turn);
  }

  /** Resolves when the drafts of stored sessions are as what was asked for so far makes them. */
  async settled(): Promise<void> {
    this.refresh();
    await this.#writer.settled();
  }

  prompt_sent(prompt: UserMessage): void {
    const { session } = this.#parts.current;
    const { drafts, auto_save } = this.#options;
    if (!drafts || !auto_save || session === undefined || !has_capability(this.#parts.port.store, "set_draft")) {
      return;
    }
    this.#stop_waiting();
    this.#failed = undefined;
    this.#turn = this.#begin(session, Object.freeze({ prompt, updated_at: new Date().toISOString() }));
    this.#turn.is_dirty = true;
    session.draft = this.#turn.draft;
    this.#writer.store(this.#turn);
  }

  answer_updated(partial: Partial<AssistantMessage>): void {
    const turn = this.#turn;
    if (turn === undefined) {
      return;
    }
    turn.draft = Object.freeze({ prompt: turn.draft.prompt, partial, updated_at: new Date().toISOString() });
    turn.session.draft = turn.draft;
    turn.is_dirty = true;
    const interval_ms = this.#options.draft_interval_ms;
    if (this.#timer === undefined && interval_ms <= MAX_TIMER_MS) {
      const elapsed = performance.now() - this.#writer.last_write_began;
      this.#timer = setTimeout(() => this.refresh(), Math.max(0, interval_ms - elapsed));
      this.#timer.unref();
    }
  }

  /** The turn is among the conversation's messages. */
  turn_completed(): void {
    this.#stop_waiting();
    const { session: current } = this.#parts.current;
    const turn = this.#turn;
    const session = turn?.session ?? current;
    if (!this.#options.drafts || session === undefined) {
      return;
    }
    this.#turn = undefined;
    session.draft = undefined;
    if (turn !== undefined) {
      turn.is_complete = true;
    }
    if (session.origin === current?.origin) {
      this.#writer.completed(current, turn?.number ?? this.#next_number());
    } else {
      this.#writer.remove(session); // it is saved elsewhere
    }
  }

  /** Stores what has come of the answer, however little time has passed. */
  refresh(): void {
    this.#stop_waiting();
    const turn = this.#turn ?? this.#failed;
    if (turn?.is_dirty) {
      this.#writer.store(turn);
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
    this.#failed = this.#turn ?? this.#failed;
    this.#turn = undefined;
    this.refresh();
  }

  /** Removes the draft of a session, and keeps none of the turn under way. */
  async discard(session: ActiveSession): Promise<void> {
    const { draft } = session;
    for (const turn of [this.#turn, this.#failed]) {
      if (turn?.session.origin === session.origin) {
        turn.is_complete = true;
      }
    }
    this.#turn = unless_complete(this.#turn);
    this.#failed = unless_complete(this.#failed);
    await this.#writer.discard(session);
    if (session.draft === draft) {
      session.draft = undefined; // no prompt was sent meanwhile
    }
  }

  #begin(session: ActiveSession, draft: SessionDraft): Turn {
    return { number: this.#next_number(), session, draft, is_dirty: false, is_complete: false };
  }

  #next_number(): number {
    this.#turns += 1;
    return this.#turns;
  }

  #stop_waiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function unless_complete(turn: Turn | undefined): Turn | undefined {
  return turn?.is_complete ? undefined : turn;
}
