import type { Conversation, LifecycleErrorEvent } from "@simulacra-ai/core";
import { type ConflictEvent, SessionError, SessionManager } from "@simulacra-ai/session";
import type { ManagerEvent } from "./calls.js";
import type { FaultyStore } from "./faulty-store.js";
import type { Ledger, Promised } from "./ledger.js";
import type { Options } from "./plan.js";
import { replies_of } from "./texts.js";

/** A time in which no session was active, and the turns that completed then. */
interface Gap {
  completed: string[];
  reports: number;
  /** Still in the conversation, and in no session. */
  unsaved: string[];
  /** The session that holds some of them. */
  home?: string;
  /** The promises of `unsaved`, made when a session became active. */
  promised: Promised[];
}

/** A manager from its making to the end of the run, and what it told. */
export class ManagerLife {
  readonly manager: SessionManager;
  readonly store: FaultyStore;
  readonly options: Options;
  /** How often `start_new()` was accepted. */
  starts = 0;
  /** When the manager was made. */
  readonly began: number;
  is_disposed = false;
  /** Somebody waits for its disposal. */
  is_ending = false;
  /** A turn was in flight when its disposal began, and has not ended yet. */
  waits_for_turn = false;
  /** With `on_conflict: "error"`: a conflict was told, and what it is about is not stored. */
  has_conflict = false;
  /** Counts the sessions that were put into the conversation. */
  loads = 0;
  /** Counts the conflicts after which the session went on under another id. */
  conflicts = 0;
  /** Errors that were told, and with which operations. */
  readonly told = new Map<unknown, Set<string>>();
  /** Errors of listeners, each of which has to be told. */
  readonly thrown: { error: Error; event: ManagerEvent }[] = [];
  readonly gaps: Gap[] = [new_gap()];
  readonly #ledger: Ledger;
  #seen_id: string | undefined;
  /** Every session that was the active one. */
  readonly #seen = new Set<string>();
  readonly #homeless: Promised[] = [];
  /** Called when a session was put into the conversation. */
  on_load: () => void = () => undefined;
  /** Called when a conflict was told. */
  on_conflict: (event: ConflictEvent) => void = () => undefined;

  constructor(
    store: FaultyStore,
    conversation: Conversation,
    { options, ledger }: { options: Options; ledger: Ledger },
  ) {
    this.store = store;
    this.options = options;
    this.#ledger = ledger;
    this.began = ledger.now();
    this.manager = new SessionManager(store, conversation, options);
    this.manager.on("lifecycle_error", (event) => this.#lifecycle_error(event));
    this.manager.on("save", ({ id, messages }) => this.#saved(id, replies_of(messages)));
    this.manager.on("load", () => {
      this.loads += 1;
      this.look();
      this.on_load();
    });
    this.manager.on("conflict", (event) => {
      this.conflicts += 1;
      this.on_conflict(event);
    });
    this.manager.on("dispose", () => (this.is_disposed = true));
  }

  /** True where the manager certainly hears of a turn that completes now. */
  hears_turn(): boolean {
    const waits = this.waits_for_turn;
    this.waits_for_turn = false;
    return !this.is_disposed && (!this.is_ending || waits);
  }

  get session_id(): string | undefined {
    return this.manager.current_session_id;
  }

  /** Notes which session is active: turns without one are stored when one becomes active. */
  look(): string | undefined {
    const id = this.session_id;
    if (id !== this.#seen_id) {
      this.#seen_id = id;
      this.#ledger.trace(() => `current session: ${id}`);
    }
    const gap = this.gap;
    if (id !== undefined) {
      this.#seen.add(id);
      this.#ledger.shadows.note_id(id);
      this.#give_home(id);
      if (gap.completed.length > 0) {
        this.#end_gap(gap);
      }
    }
    return id;
  }

  get gap(): Gap {
    return this.gaps.at(-1) ?? new_gap();
  }

  /** A turn completed, before the manager hears of it. */
  turn_completed(reply: string, history: string[]): void {
    this.#ledger.turn_completed(reply, this);
    const home = this.look();
    const { auto_save, auto_start, on_replace } = this.options;
    if (!auto_save) {
      return;
    }
    if (home !== undefined || auto_start) {
      if (home === undefined) {
        this.#homeless.push(this.#promise_alone(reply, "completed and began a session"));
      } else {
        this.promise(reply, history, home, "completed in a session");
      }
      return;
    }
    this.gap.completed.push(reply);
    if (on_replace === "keep") {
      this.gap.unsaved.push(reply);
    }
  }

  /** A turn completed in a child that has a session. */
  child_turn_completed(reply: string, history: string[], child_began: number): void {
    if (this.options.auto_save && !this.#ledger.may_child_be_deleted(child_began)) {
      this.promise(reply, history, undefined, "completed in a child", true);
    }
  }

  now(): number {
    return this.#ledger.now();
  }

  promise(reply: string, history: string[], home: string | undefined, why: string, is_child = false): Promised {
    const had_no_session = false;
    return this.#ledger.promise({ reply, history, home, why, is_child, had_no_session, manager: this });
  }

  /** Of a turn that completed when no session was active nobody says which others are stored with it. */
  #promise_alone(reply: string, why: string, home?: string): Promised {
    const history = undefined;
    return this.#ledger.promise({ reply, history, home, why, is_child: false, had_no_session: true, manager: this });
  }

  /** Adds a listener that fails once. */
  listen_badly(event: ManagerEvent, how: "throw" | "reject", error: Error): void {
    let is_due = true;
    const fail = (): unknown => {
      if (!is_due) {
        return undefined;
      }
      is_due = false;
      this.thrown.push({ error, event });
      if (how === "throw") {
        throw error;
      }
      return Promise.reject(error);
    };
    this.manager.on(event, fail);
  }

  /** The manager's store holds these replies in a session now. */
  note_written(id: string, replies: readonly string[]): void {
    for (const gap of this.gaps.filter(({ completed }) => completed.some((reply) => replies.includes(reply)))) {
      gap.home = id;
      gap.promised.forEach((promised) => (promised.home = id));
    }
  }

  /** An error of one of these operations was told. */
  has_told(...operations: string[]): boolean {
    return [...this.told.values()].some((told) => operations.some((operation) => told.has(operation)));
  }

  tell(error: unknown, operation: string): void {
    const operations = this.told.get(error) ?? new Set();
    this.told.set(error, operations.add(operation));
    this.#ledger.trace(() => `failed: ${operation}: ${reason_of(error)}`);
    if (has_code(error, "conflict") && this.options.on_conflict === "error") {
      this.has_conflict = true;
    }
  }

  #saved(id: string, replies: string[]): void {
    this.look();
    replies.forEach((reply) => this.#ledger.acknowledged.add(reply));
    const reply = replies.at(-1);
    if (reply !== undefined) {
      this.promise(reply, replies, id, "has had its save event");
    }
  }

  #lifecycle_error({ error, operation, context }: LifecycleErrorEvent): void {
    this.tell(error, operation);
    const id = context?.["session_id"];
    const is_foreign = typeof id === "string" && !this.#seen.has(id);
    const is_child = ["child", "checkpoint"].includes(this.#ledger.shadows.kind_of(id) ?? "");
    if (
      operation === "save" &&
      has_code(error, "invalid_state") &&
      !(is_child && (is_foreign || this.gap.reports > 0))
    ) {
      const owed = this.gaps.find(({ completed, reports }) => completed.length > 0 && reports === 0);
      (owed ?? this.gap).reports += 1;
    }
  }

  #end_gap(gap: Gap): void {
    const { unsaved, home } = gap;
    this.gaps.push(new_gap());
    gap.promised = unsaved
      .filter((reply) => home === undefined || !this.#ledger.was_deleted_behind(reply, home))
      .map((reply) => this.#promise_alone(reply, "completed before a session was active", home));
  }

  /** Turns that began their session themselves belong to the one that is active then. */
  #give_home(id: string): void {
    this.#homeless.splice(0).forEach((promised) => (promised.home = id));
  }
}

function new_gap(): Gap {
  return { completed: [], reports: 0, unsaved: [], promised: [] };
}

export function has_code(error: unknown, code: string): boolean {
  return error instanceof SessionError && error.code === code;
}

export function reason_of(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
