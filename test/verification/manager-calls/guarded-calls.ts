import type { Ledger } from "./ledger.js";
import { has_code, type ManagerLife } from "./manager-life.js";
import { texts_of } from "./texts.js";
import type { Talk, User } from "./user.js";

/**
 * A call that changes the conversation, and may do so only if no turn has come between: watched from the call to its
 * end. Of two that are under way together nothing is said.
 */
export class GuardedCall {
  readonly #what: string;
  readonly #life: ManagerLife;
  readonly #ledger: Ledger;
  readonly #before: {
    talk: Talk;
    id: string | undefined;
    texts: string;
    loads: number;
    conflicts: number;
    activity: number;
    starts: number;
  };
  readonly #needs_only_rest: boolean;
  #is_alone = true;
  /** `start_new()` was called before this call acted. */
  #is_overtaken = false;
  #is_edited = false;
  /** The turn that completed before this call acted. */
  #turn_between: string | undefined;

  /** `needs_only_rest`: unless there is a turn, the call is not refused. */
  constructor(what: string, user: User, ledger: Ledger, needs_only_rest: boolean) {
    const { life, talk } = user;
    this.#needs_only_rest =
      needs_only_rest && talk.conversation.state === "idle" && !life.is_disposed && !life.is_ending;
    this.#what = what;
    this.#life = life;
    this.#ledger = ledger;
    const texts = texts_of(talk.conversation.messages).join();
    this.#before = {
      talk,
      id: life.session_id,
      texts,
      loads: life.loads,
      conflicts: life.conflicts,
      activity: talk.activity,
      starts: life.starts,
    };
  }

  /** Something else changes the conversation or the session. */
  disturb(): void {
    this.#is_alone = false;
  }

  /** The application changes the conversation itself. */
  edit(): void {
    this.#is_edited = true;
    this.#is_alone = false;
  }

  /** `start_new()` was called while this call waited. */
  overtake(): void {
    this.#is_overtaken = true;
  }

  /** A turn completes, and the manager has not heard of it yet. */
  turn_completed(reply: string, talk: Talk): void {
    if (!this.has_acted && talk === this.#before.talk) {
      this.#turn_between = reply;
    }
  }

  /** `has_changed`: it did what it was asked for, and that has changed the conversation. */
  resolved(has_changed: boolean): void {
    if (!this.#is_alone || !has_changed) {
      return;
    }
    if (this.#is_overtaken) {
      this.#ledger.find("acted-after-start", `${this.#what} resolved`);
    } else if (this.#turn_between !== undefined) {
      this.#ledger.find(
        "acted-after-turn",
        `${this.#what} resolved, and before it acted ${this.#turn_between} completed`,
      );
    }
  }

  rejected(error: unknown): void {
    const { talk, id, texts, conflicts, activity } = this.#before;
    const life = this.#life;
    const may_be_refused =
      this.#is_overtaken ||
      life.starts > this.#before.starts ||
      this.#is_edited ||
      talk.activity > activity ||
      talk.life !== life;
    if (
      this.#needs_only_rest &&
      !may_be_refused &&
      !life.is_ending &&
      !life.is_disposed &&
      has_code(error, "invalid_state")
    ) {
      this.#ledger.find("refused-without-reason", `${this.#what} rejected with ${(error as Error).message}`);
    }
    if (!this.#is_alone || this.#is_overtaken || life.conflicts !== conflicts || !has_code(error, "invalid_state")) {
      return;
    }
    const now = texts_of(talk.conversation.messages).join();
    const is_same = this.#turn_between === undefined ? now === texts : now.startsWith(texts);
    if (!is_same || (id !== undefined && life.session_id !== id)) {
      const found = `${id}: ${texts}; then ${life.session_id}: ${now}`;
      this.#ledger.find("changed-by-rejected", `${this.#what} rejected; before ${found}`);
    }
  }

  get has_acted(): boolean {
    const life = this.#life;
    const { loads, id } = this.#before;
    const may_begin_alone = id === undefined && life.options.auto_start; // a turn begins a session then
    return life.loads > loads || (!may_begin_alone && life.session_id !== id);
  }
}
