import { Shadows } from "./shadow.js";
import type { Method } from "./stores.js";

/** The kinds of findings, and what each means. */
export const KINDS = {
  "lost-turn": "a turn that completed in a session, or whose save event came, is in no session",
  "lost-without-session": "a turn that completed before a session was active is in no session",
  "lost-history": "the turn is stored, but no session begins with the history that led to it",
  "repeated-turn": "a turn is there twice along a chain of parents, or out of order",
  "wrong-current": "the current session does not resolve to the conversation's messages",
  "lost-for-a-while": "a write removed the last copy of an acknowledged turn",
  "acknowledged-early": "flush() or save() resolved before a turn was stored",
  hang: "a call never settles",
  "unhandled-rejection": "nobody handled a rejected promise of the manager's",
  pending: "pending is not 0 at rest",
  "last-error": "last_error tells of a save that was made good",
  "flush-rejected": "flush() rejects though the store no longer fails",
  "foreign-error": "a call rejects with an error that has no stable code, or a code that nothing explains",
  "changed-by-rejected": "a call that rejected with invalid_state changed the conversation or the session",
  "acted-after-turn": "a call went on although a turn completed between the call and its action",
  "acted-after-start": "a call went on although start_new() was called while it waited",
  "refused-without-reason": "a call rejected with invalid_state although no turn and no start_new() came between",
  "started-while-busy": "start_new() was accepted in the middle of a turn",
  "unreported-turn": "a turn without a session was not reported",
  "reported-twice": "turns without a session were reported more than once",
  "unreported-listener": "what a listener threw or rejected with was not reported",
  "needless-conflict": "a conflict was told where nobody else writes",
  "unknown-accepted": "a call with an id that does not exist resolved",
} as const;
export type Kind = keyof typeof KINDS;

export interface Finding {
  kind: Kind;
  text: string;
}

/** A turn that has to be stored at rest. */
export interface Promised {
  reply: string;
  /** The replies that the conversation held then, this one the last; undefined: they need not be together any more. */
  history: string[] | undefined;
  /** The session that it belongs to; undefined: not known yet, or a child's, which nobody tells. */
  home: string | undefined;
  is_child: boolean;
  /** The manager that has to store it. */
  manager: unknown;
  why: string;
  /** It completed when no session was active. */
  had_no_session: boolean;
  /** In the order of all that happens. */
  at: number;
}

/** A call of `delete` that may still take effect. */
export interface Deletion {
  id: string;
  manager: unknown;
  is_cascade: boolean;
  is_of_child: boolean;
  at: number;
  /** Infinity: it is under way. */
  settled_at: number;
}

/** Keeps the promises of a run: the turns that have to be stored, those given up since, and the findings. */
export class Ledger {
  readonly shadows = new Shadows();
  readonly promised: Promised[] = [];
  readonly findings: Finding[] = [];
  /** Hears of all that happens, a line at a time. */
  readonly trace: (line: () => string) => void;
  /** Replies that need not be stored any more. */
  readonly given_up = new Set<string>();
  /** Replies that a `save` event, `save()` or `flush()` told to be stored. */
  readonly acknowledged = new Set<string>();
  /** When each turn completed, and under which manager. */
  readonly #completed = new Map<string, { at: number; manager: unknown }>();
  readonly #deletions: Deletion[] = [];
  #now = 0;

  constructor(trace?: (line: string) => void) {
    this.trace = trace === undefined ? () => undefined : (line) => trace(line());
  }

  /** The place of what happens now in the order of all that happens. */
  now(): number {
    this.#now += 1;
    return this.#now;
  }

  find(kind: Kind, text: string): void {
    if (!this.findings.some((other) => other.kind === kind && other.text === text)) {
      this.findings.push({ kind, text });
    }
  }

  promise(made: Omit<Promised, "at">): Promised {
    const promised = { ...made, at: this.now() };
    this.promised.push(promised);
    this.trace(() => `promised: ${made.reply} ${made.why}, ${made.home}, with ${made.history?.join()}`);
    return promised;
  }

  /** A turn of a conversation completed, not of a child's. */
  turn_completed(reply: string, manager: unknown): void {
    this.#completed.set(reply, { at: this.now(), manager });
  }

  /** The application takes these turns back. */
  give_up(replies: readonly string[]): void {
    replies.forEach((reply) => this.given_up.add(reply));
    this.trace(() => `given up: ${replies.join()}`);
  }

  /** Gives up the histories of these turns: each turn alone has to be stored. */
  release_history(is_released: (promised: Promised) => boolean): void {
    for (const promised of this.promised.filter(is_released)) {
      promised.history = undefined;
    }
  }

  /** A conflict: what the manager has not saved yet belongs to the fork. */
  move_unsaved(manager: unknown, id: string, fork_id: string): void {
    const is_moved = (promised: Promised) =>
      promised.manager === manager && promised.home === id && !this.acknowledged.has(promised.reply);
    this.promised.filter(is_moved).forEach((promised) => (promised.home = fork_id));
  }

  begin_deletion(deletion: Pick<Deletion, "id" | "manager" | "is_cascade">): Deletion {
    const is_of_child = this.shadows.sessions.get(deletion.id)?.kind === "child";
    const begun = { ...deletion, is_of_child, at: this.now(), settled_at: Infinity };
    this.#deletions.push(begun);
    return begun;
  }

  /** `is_done`: the call resolved, so that what was still to be written of the session is given up, too. */
  settle_deletion(deletion: Deletion, is_done: boolean): void {
    deletion.settled_at = this.now();
    if (is_done) {
      this.#give_up_unwritten(deletion.id, deletion);
    }
  }

  /** True where a user has asked for this session to be deleted. */
  was_deletion_asked(id: string): boolean {
    return this.#deletions.some((deletion) => deletion.is_cascade || deletion.id === id);
  }

  /** True where this session was deleted by a call that came behind the completion of a turn. */
  was_deleted_behind(reply: string, id: string): boolean {
    const is_cause = (one: Deletion) => (one.is_cascade || one.id === id) && !this.#is_behind(reply, one);
    return !this.shadows.sessions.has(id) && this.#deletions.some(is_cause);
  }

  /** True where the session of a child that began then may have been deleted since: which one it is, nobody tells. */
  may_child_be_deleted(since: number): boolean {
    return this.#deletions.some(({ settled_at, is_cascade, is_of_child }) => {
      return settled_at > since && (is_cascade || is_of_child);
    });
  }

  /** Before a call of a store takes effect. */
  before_effect(method: Method, args: readonly unknown[]): void {
    const id = args[0] as string;
    if (method === "delete") {
      this.#deletions
        .filter((one) => one.settled_at === Infinity && (one.is_cascade || one.id === id))
        .forEach((cause) => this.#give_up_deleted(id, cause));
    }
  }

  after_effect(method: Method, args: readonly unknown[], writer: unknown): void {
    for (const reply of this.shadows.apply(method, args, { writer, at: this.now() })) {
      if (this.acknowledged.has(reply) && !this.given_up.has(reply)) {
        this.find("lost-for-a-while", `${method} of ${String(args[0])} removed the last copy of ${reply}`);
      }
    }
  }

  /** Of the turns of a deleted session those that no other one holds: stored ones, and those that were still to be. */
  #give_up_deleted(id: string, cause: Deletion): void {
    const stored = this.shadows.sessions.get(id)?.replies ?? [];
    // Somebody else's fork may be the tail of a rewind that is about to cut what it holds.
    const is_foreign = this.shadows.maker_of(id) !== (cause.manager as { store?: unknown }).store;
    const is_last = (reply: string) => is_foreign || !this.shadows.is_elsewhere(reply, id);
    this.give_up(stored.filter((reply) => is_last(reply) && !this.#is_behind(reply, cause)));
    this.#give_up_unwritten(id, cause);
    this.release_history(({ reply, home }) => home === id || stored.includes(reply));
  }

  #give_up_unwritten(id: string, cause: Deletion): void {
    const kind = this.shadows.sessions.get(id)?.kind;
    const may_be_of_child = cause.is_cascade || kind === "child";
    for (const { reply, home, is_child } of this.promised) {
      const is_of_session = home === id || (is_child && may_be_of_child);
      if (is_of_session && !this.shadows.is_elsewhere(reply, id) && !this.#is_behind(reply, cause)) {
        this.give_up([reply]);
      }
    }
  }

  /** A turn of the conversation itself that completed behind the call: the call has to fail then. */
  #is_behind(reply: string, { at, manager, is_cascade }: Deletion): boolean {
    const completed = this.#completed.get(reply);
    return !is_cascade && completed !== undefined && completed.manager === manager && completed.at > at;
  }
}
