import { has_capability } from "../capabilities.js";
import { same_prompt } from "../draft.js";
import { has_code } from "../errors.js";
import type { SessionDraft } from "../types.js";
import type { ActiveSession } from "./active-session.js";
import type { EngineParts } from "./current-session.js";
import type { Capture } from "./session-writer.js";

/** A turn from its prompt to its end, or what is left of it. */
export interface Turn {
  /** Later turns have greater numbers. */
  readonly number: number;
  readonly session: ActiveSession;
  draft: SessionDraft;
  /** The draft has changed since its last write began. */
  is_dirty: boolean;
  /** The conversation holds prompt and reply: the session will, and the draft is void. */
  is_complete: boolean;
}

/** What is known of the drafts of one session, through whatever it goes. */
interface Line {
  /** What was asked for of them so far. */
  tail: Promise<void>;
  /** The turn whose draft is stored, and under which id. */
  kept: { id: string; turn: Turn } | undefined;
  /** The last complete turn, and how many notes the session had then. */
  completed: { number: number; noted: number } | undefined;
  /** The last complete turn that is stored. */
  stored_number: number;
}

/** Brings drafts to the store, those of each session in an order of their own, so that none waits behind a save. */
export class DraftWriter {
  last_write_began = -Infinity;
  readonly #parts: EngineParts;
  readonly #lines = new WeakMap<object, Line>();
  readonly #under_way = new Map<Promise<void>, ActiveSession>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
    parts.pipeline.moved = (session) => this.#in_background(session, () => this.#follow(session));
    parts.pipeline.written = (capture) => this.#session_stored(capture);
  }

  /** What a session that was read just now has. */
  loaded(session: ActiveSession, turn: Turn | undefined): void {
    this.#line(session).kept = turn && { id: session.id, turn };
  }

  /** As soon as the turn is stored, no draft of an earlier one is left. */
  completed(session: ActiveSession, number: number): void {
    session.note({}); // whoever captures the turn captures this
    this.#line(session).completed = { number, noted: session.noted };
    this.#parts.events.failures.made_good("draft", session.id);
  }

  /** Stores the draft of a turn as it is when its time comes. */
  store(turn: Turn): void {
    this.#in_background(turn.session, () => this.#store(turn), turn);
  }

  /** Removes the draft that this manager has stored of a session. */
  remove(session: ActiveSession): void {
    this.#in_background(session, () => this.#remove(session));
  }

  /** Removes whatever draft a session has. */
  async discard(session: ActiveSession): Promise<void> {
    const { events, port } = this.#parts;
    const { store } = port;
    if (has_capability(store, "set_draft")) {
      await this.#in_order(session, async () => {
        await events.failures.watch("draft", session.id, () => store.set_draft(session.id, undefined));
        this.#line(session).kept = undefined;
      });
    }
  }

  /**
   * Resolves when what was asked for of stored sessions has ended, in whatever way. For those that are not stored it
   * may wait for the queue, in which whoever calls this has a place.
   */
  async settled(): Promise<void> {
    const writes = [...this.#under_way].filter(([, { stored }]) => stored !== undefined);
    await Promise.all(writes.map(([write]) => write));
  }

  #line({ origin }: ActiveSession): Line {
    let line = this.#lines.get(origin);
    if (line === undefined) {
      line = { tail: Promise.resolve(), kept: undefined, completed: undefined, stored_number: 0 };
      this.#lines.set(origin, line);
    }
    return line;
  }

  /** A save has stored this. */
  #session_stored({ session, noted }: Capture): void {
    const line = this.#lines.get(session.origin);
    if (line?.completed !== undefined && noted >= line.completed.noted) {
      line.stored_number = line.completed.number;
      line.completed = undefined;
      if (is_void(line)) {
        this.#in_background(session, () => this.#tidy(session));
      }
    }
  }

  async #store(turn: Turn): Promise<void> {
    const { pipeline } = this.#parts;
    const { session } = turn;
    if (session.stored === undefined) {
      await pipeline.stored_once(session);
    }
    if (turn.is_complete) {
      await this.#tidy(session); // an earlier draft may have been written since the turn was stored
    } else if (turn.is_dirty) {
      turn.is_dirty = false;
      this.last_write_began = performance.now();
      await this.#put(session, turn).catch((error: unknown) => {
        turn.is_dirty = true;
        throw error;
      });
    }
  }

  async #put(session: ActiveSession, turn: Turn): Promise<void> {
    const { port, pipeline, events } = this.#parts;
    const { store } = port;
    const { id } = session;
    if (!has_capability(store, "set_draft") || pipeline.is_deleted(id)) {
      return;
    }
    try {
      await pipeline.at_store(store.set_draft(id, turn.draft));
      this.#line(session).kept = { id, turn };
      events.failures.made_good("draft", id);
    } catch (error) {
      if (!has_code(error, "not_found")) {
        throw error;
      } // the session was deleted, and its drafts with it
    }
  }

  /** A session goes on under another id: its draft comes along, unless the turn is stored there. */
  async #follow(session: ActiveSession): Promise<void> {
    const { kept } = this.#line(session);
    if (kept !== undefined && kept.id !== session.id) {
      if (!kept.turn.is_complete) {
        await this.#put(session, kept.turn);
      }
      await this.#remove_from(kept.id, kept.turn);
    }
  }

  /** A save takes none but its own turn's draft with it. */
  async #tidy(session: ActiveSession): Promise<void> {
    if (is_void(this.#line(session))) {
      await this.#remove(session);
    }
  }

  async #remove(session: ActiveSession): Promise<void> {
    const line = this.#line(session);
    if (line.kept !== undefined) {
      await this.#remove_from(line.kept.id, line.kept.turn);
      line.kept = undefined;
      this.#parts.events.failures.made_good("draft", session.id);
    }
  }

  /** Where another writer has left one meanwhile, that stays. */
  async #remove_from(id: string, turn: Turn): Promise<void> {
    const { port } = this.#parts;
    const { store } = port;
    if (has_capability(store, "set_draft")) {
      const draft = (await store.load(id))?.draft;
      if (draft !== undefined && same_prompt(draft, port.draft_as_stored(turn.draft))) {
        await store.set_draft(id, undefined);
      }
    }
  }

  #in_background(session: ActiveSession, task: () => Promise<void>, turn?: Turn): void {
    const { events } = this.#parts;
    void this.#in_order(session, async () => {
      try {
        await task();
      } catch (error) {
        events.report(error, "draft", { session_id: session.id });
        if (turn?.is_complete) {
          events.failures.made_good("draft", session.id); // nobody needs it any more
        }
      }
    });
  }

  /** A flush waits for it. */
  #in_order(session: ActiveSession, task: () => Promise<void>): Promise<void> {
    const line = this.#line(session);
    const result = line.tail.then(task);
    const ended = result.catch(() => undefined); // whoever asked for it hears of it
    line.tail = ended;
    this.#under_way.set(ended, session);
    void ended.then(() => this.#under_way.delete(ended));
    this.#parts.pipeline.track(ended);
    return result;
  }
}

/** Whether the draft that is stored is one that a stored turn has outdated, and that no store removes by itself. */
function is_void({ kept, stored_number }: Line): boolean {
  return (
    kept !== undefined &&
    (kept.turn.number < stored_number ||
      (kept.turn.number === stored_number && kept.turn.draft.prompt.id === undefined))
  );
}
