import type { AssistantMessage, UserMessage } from "@simulacra-ai/core";
import { next_turn, timers } from "../async/timers.js";
import { as_stored, has_capability } from "../capabilities.js";
import { same_prompt } from "../draft.js";
import { has_code } from "../errors.js";
import type { SessionDraft } from "../types.js";
import { has_message, type Messages } from "../messages.js";
import type { SaveQueueParts, SaveQueue } from "./save-queue.js";
import type { DraftTurn, SessionState, StoredDraft } from "./session-state.js";
import type { SessionSnapshot } from "./types.js";

/** The longest delay of a timer. With a longer one it would run at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Stores the unfinished turn as the session's draft: the prompt at once, the answer at most once an interval. Without
 * `auto_save` no draft is written. A stored draft is still readable through `manager.draft` and the `load` event.
 *
 * An event only changes `draft_turn`, which is to be stored. `#sync` compares `draft_turn` with `stored_draft`, and
 * writes the difference. A failed write is left to the next `#sync`.
 *
 * Hazard: the save and the draft of one turn race. So draft writes run in a queue of their own, and a draft is removed
 * only after the save that makes the draft void.
 */
export class Drafts {
  readonly #parts: SaveQueueParts & { readonly queue: SaveQueue };
  readonly #current: () => SessionState | undefined;
  /** The turn under way, or the last turn if that turn failed. */
  #turn: DraftTurn | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last_write_began = -Infinity;

  constructor(parts: SaveQueueParts & { readonly queue: SaveQueue }, current: () => SessionState | undefined) {
    this.#parts = parts;
    this.#current = current;
    parts.events.emitter.on("save", ({ id }: SessionSnapshot) => this.#saved(id));
  }

  /** Sets the draft of a session that was just read. `base` is the number of the session's messages. */
  set_loaded(session: SessionState, base: number, draft: SessionDraft | undefined): void {
    if (this.#parts.options.drafts) {
      const turn = draft && { session, base, draft: Object.freeze(draft), is_over: true };
      session.draft_turn = turn;
      session.stored_draft = turn && { id: session.id, turn, draft: turn.draft, void_at: Infinity };
    }
  }

  prompt_sent(prompt: UserMessage): void {
    const session = this.#current();
    const { store, options } = this.#parts;
    const is_enabled = options.drafts && options.auto_save && has_capability(store.given, "set_draft");
    if (is_enabled && session) {
      this.#turn = { session, base: session.history.length, draft: draft_now(prompt), is_over: false };
      session.draft_turn = this.#turn;
      this.write_now();
    }
  }

  answer_updated(partial: Partial<AssistantMessage>): void {
    const turn = this.#turn;
    if (!turn || turn.is_over) {
      return;
    }
    turn.draft = draft_now(turn.draft.prompt, partial);
    const interval_ms = this.#parts.options.draft_interval_ms;
    if (!this.#timer && interval_ms <= MAX_TIMER_MS) {
      const elapsed = timers.now() - this.#last_write_began;
      this.#timer = timers.set_timeout(() => this.write_now(), Math.max(0, interval_ms - elapsed));
      this.#timer.unref();
    }
  }

  /** Handles a completed turn. The next `want` of the session stores the turn. */
  turn_completed(): void {
    const turn = this.#turn?.is_over ? undefined : this.#turn;
    this.#turn = undefined;
    this.write_now(); // stops the timer
    const session = turn?.session ?? this.#current();
    if (session?.draft_turn || session?.stored_draft) {
      this.#complete(session, turn);
    }
  }

  /** Completes the turn of a draft if the conversation holds the prompt, even if the application added that message. */
  complete_if_held(session: SessionState, messages: Messages): void {
    const turn = session.draft_turn;
    if (turn?.is_over && holds_prompt(messages, turn)) {
      this.#complete(session, turn);
    }
  }

  /** Returns the draft of a session, unless the conversation holds its prompt. */
  draft_of(session: SessionState, conversation: { readonly messages: Messages }): SessionDraft | undefined {
    const turn = session.draft_turn;
    return !turn || holds_prompt(conversation.messages, turn) ? undefined : turn.draft;
  }

  /** Stores the newest state of the answer without waiting for the interval. */
  write_now(): void {
    timers.clear_timeout(this.#timer);
    this.#timer = undefined;
    if (this.#turn) {
      this.#sync(this.#turn.session);
    }
  }

  /** Ends the turn, as failed or cancelled, unless `turn_completed` follows at once. */
  turn_may_have_ended(): void {
    const turn = this.#turn;
    if (turn) {
      void next_turn().then(() => this.#turn === turn && this.turn_abandoned());
    }
  }

  /** Ends a turn that failed, or that the manager stops following. The draft stays. */
  turn_abandoned(): void {
    if (this.#turn) {
      this.#turn.is_over = true;
    }
    this.write_now();
  }

  /** Removes the draft of a session, and stops storing the turn under way. */
  async discard(session: SessionState): Promise<void> {
    const { store, queue, events } = this.#parts;
    const turn = session.draft_turn;
    if (turn) {
      turn.is_over = true;
    }
    await queue.enqueue_draft(async () => {
      await events.watch("draft", session.id, () => store.set_draft(session.id, undefined));
      session.stored_draft = undefined;
      if (session.draft_turn === turn) {
        session.draft_turn = undefined; // no prompt was sent meanwhile
      }
    });
  }

  /**
   * Completes a turn of the session. The next `want` of the session makes the stored drafts void. If the prompt has an
   * id, the store itself removes the turn's draft with the write of that `want`.
   */
  #complete(session: SessionState, turn: DraftTurn | undefined): void {
    const is_here = session === this.#current(); // otherwise the turn is saved in another session
    const want = is_here ? session.newest_want + 1 : 0;
    session.draft_turn = undefined;
    this.#parts.events.clear_failure("draft", session.id);
    this.#sync(session, () => {
      const stored = session.stored_draft;
      const is_left_to_store = is_here && stored?.turn === turn && stored?.draft.prompt.id !== undefined;
      if (stored && !is_left_to_store) {
        stored.void_at = Math.min(stored.void_at, want);
      }
    });
  }

  /** Writes the draft of a saved session if the session was stored for the first time, or under another id. */
  #saved(id: string): void {
    for (const session of this.#parts.queue.dirty) {
      const { draft_turn: turn, stored_draft: stored } = session;
      const is_outdated = stored ? stored.id !== id || stored.void_at <= session.stored_want : turn !== undefined;
      if (session.id === id && is_outdated) {
        this.#sync(session);
      }
    }
  }

  /** Makes `stored_draft` equal to `draft_turn`, in the background. `note` runs after the draft writes so far. */
  #sync(session: SessionState, note: () => void = () => undefined): void {
    const { queue, events } = this.#parts;
    const turn = session.draft_turn;
    const report = (error: unknown) => events.report_failure(error, "draft", { session_id: session.id });
    void queue.enqueue_draft(async () => {
      note();
      await this.#remove_void(session).catch(report);
      await this.#put(session, turn).catch(report);
    });
  }

  /** Removes a void draft, and the copy under a previous id. */
  async #remove_void(session: SessionState): Promise<void> {
    const { draft_turn: turn, stored_draft: stored } = session;
    const is_void = (of: StoredDraft) =>
      of.void_at <= session.stored_want || (of.id !== session.id && turn === undefined);
    if (stored && is_void(stored)) {
      await this.#remove(stored);
      session.stored_draft = session.stored_draft === stored ? undefined : session.stored_draft; // loaded meanwhile
      this.#parts.events.clear_failure("draft", session.id);
    }
  }

  /** Stores the newest draft of a turn, unless the session has another turn. Removes the copy under a previous id. */
  async #put(session: SessionState, turn: DraftTurn | undefined): Promise<void> {
    const { id, shared, stored_draft: stored } = session;
    const is_stored = stored?.draft === turn?.draft && stored?.id === id;
    if (!turn || turn !== session.draft_turn || is_stored || shared.deletion !== undefined) {
      return;
    }
    if (!session.stored) {
      return this.#parts.queue.save_in_background(session); // do not wait here: `#saved` continues
    }
    this.#last_write_began = timers.now();
    const { draft } = turn;
    try {
      await this.#parts.store.set_draft(id, draft);
    } catch (error) {
      if (has_code(error, "not_found")) {
        return; // the session was deleted, and the draft with it
      }
      if (session.draft_turn !== turn) {
        return this.#parts.events.emit_error(error, "draft", { session_id: id }); // the draft is no longer needed
      }
      throw error;
    }
    session.stored_draft = { id, turn, draft, void_at: Infinity };
    this.#parts.events.clear_failure("draft", id);
    if (stored && stored.id !== id) {
      await this.#remove(stored);
    }
  }

  /** Removes a stored draft unless another writer has replaced the draft. */
  async #remove({ id, draft }: { id: string; draft: SessionDraft }): Promise<void> {
    const { store } = this.#parts;
    const stored = (await store.load(id))?.draft;
    if (stored && same_prompt(stored, as_stored(store.given, { draft }).draft)) {
      await store.set_draft(id, undefined);
    }
  }
}

function draft_now(prompt: UserMessage, partial?: Partial<AssistantMessage>): SessionDraft {
  return Object.freeze({ prompt, ...(partial && { partial }), updated_at: new Date().toISOString() });
}

/** True if these messages hold the prompt. Without an id, only messages after the draft's place count. */
function holds_prompt(messages: Messages, { draft: { prompt }, base }: DraftTurn): boolean {
  if (prompt.id !== undefined) {
    return has_message(messages, prompt.id);
  }
  const content = JSON.stringify(prompt.content);
  return messages.slice(base).some((message) => message.role === "user" && JSON.stringify(message.content) === content);
}
