import type { AssistantMessage, UserMessage } from "@simulacra-ai/core";
import { next_turn, timers } from "../async/timers.js";
import { has_capability } from "../capabilities.js";
import { same_prompt } from "../draft.js";
import { has_code } from "../errors.js";
import type { SessionDraft } from "../types.js";
import type { ManagerEvents } from "./events.js";
import type { Messages } from "../messages.js";
import type { SaveQueue } from "./save-queue.js";
import type { SessionState } from "./session-state.js";
import type { StoreAccess } from "./store-access.js";
import type { SessionManagerOptions } from "./types.js";

/** The longest delay of a timer. With a longer one it would run at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

type DraftOptions = Pick<Required<SessionManagerOptions>, "drafts" | "auto_save" | "draft_interval_ms">;

/** A turn from its prompt to its end, or the draft that is left of it. */
interface Turn {
  /** Later turns have greater numbers. */
  readonly number: number;
  readonly state: SessionState;
  /** The number of messages that the conversation held before the turn. */
  readonly base: number;
  draft: SessionDraft;
  /** The draft has changed since its last write began. */
  is_dirty: boolean;
  /** The conversation holds prompt and reply, so the draft is void. */
  is_complete: boolean;
}

/** The drafts of one session. */
interface Line {
  /** Settles after every write so far. */
  tail: Promise<void>;
  /** The turn of the session's draft. */
  turn: Turn | undefined;
  /** The turn whose draft is stored, and the id under which it is. */
  kept: { id: string; turn: Turn } | undefined;
  /** The last complete turn, and the `want` that stores it. */
  completed: { number: number; want: number } | undefined;
  /** The last complete turn that is stored. */
  stored_number: number;
  /** A turn whose draft waits for the first write of its session. */
  waiting: Turn | undefined;
}

/**
 * Keeps the turn under way beside its session: the prompt at once, and of the answer what there is, at most once an
 * interval. Without `auto_save` no draft is written, and stored drafts are handed over.
 *
 * Hazard: the save and the draft of one turn race. So the draft writes of one session run in an order of their own, past
 * the queue of saves, and a draft is removed only after the save that makes it void.
 */
export class Drafts {
  readonly #store: StoreAccess;
  readonly #queue: SaveQueue;
  readonly #events: ManagerEvents;
  readonly #options: DraftOptions;
  readonly #current: () => SessionState | undefined;
  readonly #lines = new WeakMap<SessionState, Line>();
  /** Sessions whose next save has a draft to be written or removed. */
  readonly #await_save = new Set<SessionState>();
  #turns = 0;
  #turn: Turn | undefined;
  /** The last turn, where it has failed. Its draft is tried again. */
  #failed: Turn | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last_write_began = -Infinity;

  constructor(
    store: StoreAccess,
    queue: SaveQueue,
    events: ManagerEvents,
    options: DraftOptions,
    current: () => SessionState | undefined,
  ) {
    this.#store = store;
    this.#queue = queue;
    this.#events = events;
    this.#options = options;
    this.#current = current;
    events.on("conflict", ({ fork_id }) => this.#moved_to(fork_id));
    events.on("save", () => this.#saved());
  }

  /** Takes over the draft of a session that was read just now. `base` is the number of its messages. */
  loaded(state: SessionState, base: number, draft: SessionDraft | undefined): void {
    if (!this.#options.drafts) {
      return;
    }
    if (this.#failed?.state === state) {
      this.#failed = undefined;
    }
    const turn = draft && this.#begin(state, base, Object.freeze(draft));
    const line = this.#line(state);
    line.turn = turn;
    line.kept = turn && { id: state.id, turn };
    state.draft = turn?.draft;
  }

  /** Resolves when every draft write so far has settled. None of them waits for the queue of saves. */
  async settled(): Promise<void> {
    this.refresh();
    await this.#queue.drafts_settled();
  }

  prompt_sent(prompt: UserMessage): void {
    const state = this.#current();
    const { drafts, auto_save } = this.#options;
    if (!drafts || !auto_save || state === undefined || !has_capability(this.#store.store, "set_draft")) {
      return;
    }
    this.#stop_waiting();
    this.#failed = undefined;
    const draft = Object.freeze({ prompt, updated_at: new Date().toISOString() });
    this.#turn = this.#begin(state, state.history.length, draft);
    this.#turn.is_dirty = true;
    state.draft = draft;
    this.#write(this.#turn);
  }

  answer_updated(partial: Partial<AssistantMessage>): void {
    const turn = this.#turn;
    if (turn === undefined) {
      return;
    }
    turn.draft = Object.freeze({ prompt: turn.draft.prompt, partial, updated_at: new Date().toISOString() });
    turn.state.draft = turn.draft;
    turn.is_dirty = true;
    const interval_ms = this.#options.draft_interval_ms;
    if (this.#timer === undefined && interval_ms <= MAX_TIMER_MS) {
      const elapsed = timers.now() - this.#last_write_began;
      this.#timer = timers.set_timeout(() => this.refresh(), Math.max(0, interval_ms - elapsed));
      this.#timer.unref();
    }
  }

  /** A turn is among the conversation's messages. The next `want` of the session stores it. */
  turn_completed(): void {
    this.#stop_waiting();
    const current = this.#current();
    const turn = this.#turn;
    this.#turn = undefined;
    if (!this.#options.drafts) {
      return;
    }
    if (turn !== undefined) {
      this.#complete(turn);
    } else if (current !== undefined) {
      this.#complete_number(current, this.#next_number());
    }
  }

  /** Completes the turn of a draft where the conversation holds its prompt, however it came there. */
  compare(state: SessionState, messages: Messages): void {
    const turn = this.#lines.get(state)?.turn;
    if (state.draft !== undefined && turn !== undefined && turn !== this.#turn && holds_prompt(messages, turn)) {
      this.#complete(turn);
    }
  }

  /** Returns the draft of a session, unless the conversation holds its prompt. */
  draft_of(state: SessionState, messages: Messages): SessionDraft | undefined {
    const turn = this.#lines.get(state)?.turn;
    return turn !== undefined && holds_prompt(messages, turn) ? undefined : state.draft;
  }

  /** Stores the newest state of the answer, however little time has passed. */
  refresh(): void {
    this.#stop_waiting();
    const turn = this.#turn ?? this.#failed;
    if (turn?.is_dirty) {
      this.#write(turn);
    }
  }

  /** The conversation is at rest. Unless its turn completes at once, the turn failed or was cancelled. */
  turn_may_have_ended(): void {
    const turn = this.#turn;
    if (turn !== undefined) {
      void next_turn().then(() => this.#turn === turn && this.turn_abandoned());
    }
  }

  /** The turn failed, or nobody will hear of its end. Its draft stays. */
  turn_abandoned(): void {
    this.#failed = this.#turn ?? this.#failed;
    this.#turn = undefined;
    this.refresh();
  }

  /** Removes the draft of a session, and writes none of the turn under way. */
  async discard(state: SessionState): Promise<void> {
    const { draft } = state;
    for (const turn of [this.#turn, this.#failed]) {
      if (turn?.state === state) {
        turn.is_complete = true;
      }
    }
    this.#turn = unless_complete(this.#turn);
    this.#failed = unless_complete(this.#failed);
    const { store } = this.#store;
    if (has_capability(store, "set_draft")) {
      await this.#in_order(state, async () => {
        await this.#events.failures.watch("draft", state.id, () => store.set_draft(state.id, undefined));
        this.#line(state).kept = undefined;
      });
    }
    if (state.draft === draft) {
      state.draft = undefined; // no prompt was sent meanwhile
    }
  }

  #begin(state: SessionState, base: number, draft: SessionDraft): Turn {
    const turn = { number: this.#next_number(), state, base, draft, is_dirty: false, is_complete: false };
    this.#line(state).turn = turn;
    return turn;
  }

  #next_number(): number {
    this.#turns += 1;
    return this.#turns;
  }

  #stop_waiting(): void {
    timers.clear_timeout(this.#timer);
    this.#timer = undefined;
  }

  #line(state: SessionState): Line {
    let line = this.#lines.get(state);
    if (line === undefined) {
      const nothing = { turn: undefined, kept: undefined, completed: undefined, waiting: undefined };
      line = { tail: Promise.resolve(), stored_number: 0, ...nothing };
      this.#lines.set(state, line);
    }
    return line;
  }

  #complete(turn: Turn): void {
    turn.is_complete = true;
    turn.state.draft = undefined;
    this.#failed = unless_complete(this.#failed);
    if (turn.state === this.#current()) {
      this.#complete_number(turn.state, turn.number);
    } else {
      this.#in_background(turn.state, () => this.#remove(turn.state)); // the turn is saved in another session
    }
  }

  #complete_number(state: SessionState, number: number): void {
    state.draft = undefined;
    this.#line(state).completed = { number, want: state.asked + 1 };
    this.#await_save.add(state);
    this.#events.failures.made_good("draft", state.id);
  }

  /** A save has succeeded. */
  #saved(): void {
    for (const state of this.#await_save) {
      const line = this.#line(state);
      if (line.waiting !== undefined && state.stored !== undefined) {
        this.#write(line.waiting);
        line.waiting = undefined;
      }
      if (line.completed !== undefined && state.reached >= line.completed.want) {
        line.stored_number = line.completed.number;
        line.completed = undefined;
        if (is_void(line)) {
          this.#in_background(state, () => this.#tidy(state));
        }
      }
      if (line.waiting === undefined && line.completed === undefined) {
        this.#await_save.delete(state);
      }
    }
  }

  /** Writes the draft of a turn, as it is when its time comes. */
  #write(turn: Turn): void {
    this.#in_background(turn.state, () => this.#write_now(turn), turn);
  }

  async #write_now(turn: Turn): Promise<void> {
    const { state } = turn;
    if (state.stored === undefined) {
      this.#line(state).waiting = turn;
      this.#await_save.add(state);
      this.#queue.save_in_background(state);
    } else if (turn.is_complete) {
      await this.#tidy(state); // an earlier draft may have been written since the turn was stored
    } else if (turn.is_dirty) {
      turn.is_dirty = false;
      this.#last_write_began = timers.now();
      await this.#put(state, turn).catch((error: unknown) => {
        turn.is_dirty = true;
        throw error;
      });
    }
  }

  async #put(state: SessionState, turn: Turn): Promise<void> {
    const { store } = this.#store;
    const { id, shared } = state;
    if (!has_capability(store, "set_draft") || shared.deletion !== undefined) {
      return;
    }
    const call = store.set_draft(id, turn.draft);
    shared.draft_calls.add(call);
    try {
      await call;
      this.#line(state).kept = { id, turn };
      this.#events.failures.made_good("draft", id);
    } catch (error) {
      if (!has_code(error, "not_found")) {
        throw error;
      } // the session was deleted, and its drafts with it
    } finally {
      shared.draft_calls.delete(call);
    }
  }

  /** A conflict moved the current session. Its draft comes along, unless the turn is stored there. */
  #moved_to(id: string): void {
    const state = this.#current();
    if (state?.id !== id) {
      return;
    }
    this.#in_background(state, async () => {
      const { kept } = this.#line(state);
      if (kept !== undefined && kept.id !== state.id) {
        if (!kept.turn.is_complete) {
          await this.#put(state, kept.turn);
        }
        await this.#remove_from(kept.id, kept.turn);
      }
    });
  }

  /** Removes a draft that a stored turn has made void. */
  async #tidy(state: SessionState): Promise<void> {
    if (is_void(this.#line(state))) {
      await this.#remove(state);
    }
  }

  async #remove(state: SessionState): Promise<void> {
    const line = this.#line(state);
    if (line.kept !== undefined) {
      await this.#remove_from(line.kept.id, line.kept.turn);
      line.kept = undefined;
      this.#events.failures.made_good("draft", state.id);
    }
  }

  /** Removes the draft of a turn. Another writer's draft stays. */
  async #remove_from(id: string, turn: Turn): Promise<void> {
    const { store } = this.#store;
    if (has_capability(store, "set_draft")) {
      const draft = (await store.load(id))?.draft;
      if (draft !== undefined && same_prompt(draft, this.#store.draft_as_stored(turn.draft))) {
        await store.set_draft(id, undefined);
      }
    }
  }

  #in_background(state: SessionState, task: () => Promise<void>, turn?: Turn): void {
    void this.#in_order(state, async () => {
      try {
        await task();
      } catch (error) {
        this.#events.report(error, "draft", { session_id: state.id });
        if (turn?.is_complete) {
          this.#events.failures.made_good("draft", state.id); // nobody needs the draft any more
        }
      }
    });
  }

  #in_order(state: SessionState, task: () => Promise<void>): Promise<void> {
    const line = this.#line(state);
    const result = line.tail.then(task);
    line.tail = result.catch(() => undefined); // the outcome goes to the caller
    this.#queue.track(line.tail);
    return result;
  }
}

/** True where the stored draft is one that a stored turn has made void, and that no store removes by itself. */
function is_void({ kept, stored_number }: Line): boolean {
  return (
    kept !== undefined &&
    (kept.turn.number < stored_number ||
      (kept.turn.number === stored_number && kept.turn.draft.prompt.id === undefined))
  );
}

/** True where these messages hold the prompt. Without an id, only messages behind the draft's place count. */
function holds_prompt(messages: Messages, { draft: { prompt }, base }: Turn): boolean {
  if (prompt.id !== undefined) {
    return messages.some(({ id }) => id === prompt.id);
  }
  const content = JSON.stringify(prompt.content);
  return messages.slice(base).some((message) => message.role === "user" && JSON.stringify(message.content) === content);
}

function unless_complete(turn: Turn | undefined): Turn | undefined {
  return turn?.is_complete ? undefined : turn;
}
