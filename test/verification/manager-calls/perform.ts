import type { Message } from "@simulacra-ai/core";
import { SessionError } from "@simulacra-ai/session";
import { describe_call, type Action, type Call, type SessionRef } from "./calls.js";
import { GuardedCall } from "./guarded-calls.js";
import type { Ledger } from "./ledger.js";
import { has_code, type ManagerLife } from "./manager-life.js";
import { Named, UNKNOWN } from "./named.js";
import type { Script } from "./script.js";
import { replies_of, texts_of } from "./texts.js";
import type { Child, User } from "./user.js";
import type { Begun, Waits } from "./waits.js";

/** Rounds for which a call that is awaited is waited for; what takes longer goes on unattended. */
const PATIENCE = 150;

/** Codes that a call may reject with, whatever happens. `corrupt`, `invalid_id` and `lineage` nothing here explains. */
const EXPLAINED = ["not_found", "conflict", "invalid_input", "invalid_state", "storage"];

export interface PerformParts {
  ledger: Ledger;
  waits: Waits;
  script: Script;
  /** Several writers may work on one session without harm. */
  has_revisions: boolean;
  users: readonly User[];
}

interface Ending<T> {
  /** As a manager tells its failure. */
  operation?: string;
  /** Where the conversation is at rest and its manager is not disposed, the call has no other reason to be refused. */
  needs_only_rest?: boolean;
  resolved?: (value: T) => void;
  rejected?: (error: unknown) => void;
}

/** Makes the calls of a plan, and notes what they promise. */
export class Performer {
  readonly #parts: PerformParts;
  readonly #named: Named;
  #messages = 0;
  #errors = 0;

  constructor(parts: PerformParts) {
    this.#parts = parts;
    this.#named = new Named(parts.ledger.shadows, parts);
  }

  async perform(call: Call, n: number): Promise<void> {
    const { waits, users } = this.#parts;
    const user = users[call.user] as User;
    const begun = this.#begin(user, call, `${n + 1}. ${describe_call(call)}`);
    if (call.is_awaited && begun !== undefined) {
      await waits.until(() => begun.state !== "waiting" && !user.talk.is_in_flight, PATIENCE);
    }
    if (call.op === "reopen") {
      this.#reopen(user, call, begun);
    }
    await waits.pause(call.pause);
  }

  #begin(user: User, action: Action, what: string): Begun | undefined {
    const { life, conversation } = user;
    const { manager } = life;
    switch (action.op) {
      case "turn":
        user.talk.activity += 1;
        return this.#engine(what, conversation.prompt(this.#parts.script.add_prompt(action.answer)));
      case "cancel":
        return cancel(user.talk);
      case "start_new":
        return this.#start_new(user, action.label, what);
      case "load":
        return this.#load(user, action.session, what);
      case "fork":
        return this.#fork(user, action, what);
      case "rewind": {
        const message_id = this.#named.message(user, life.session_id, action.message);
        const { talk } = user;
        return this.#guarded(user, what, () => manager.rewind(message_id), {
          has_changed: (fork_id) => fork_id !== undefined,
          rejected: (error) => {
            talk.is_edited ||= has_code(error, "storage"); // the store may have made the change all the same
          },
        });
      }
      case "rename":
        return this.#call(life, what, manager.rename(this.#named.session(user, action.session), action.label));
      case "delete":
        return this.#delete(user, action, what);
      case "save":
        return this.#save(user, action.custom, what);
      case "list":
        return this.#call(life, what, manager.list());
      case "flush":
        return this.#call(life, what, manager.flush(), this.#acknowledging(life, what));
      case "resume_draft":
        return this.#call(life, what, manager.resume_draft());
      case "discard_draft":
        return this.#call(life, what, manager.discard_draft());
      case "spawn_child":
        conversation.spawn_child(action.inherits);
        return undefined;
      case "checkpoint":
        return this.#checkpoint(user, action.how, what);
      case "clear":
      case "edit":
        this.#edit(user, action);
        return undefined;
      case "bad_listener":
        this.#errors += 1;
        life.listen_badly(action.event, action.how, new Error(`listener ${this.#errors} of ${action.event}`));
        return undefined;
      case "reopen":
        return this.#dispose(user, action.how, what);
      case "fault":
        user.faults.plan(action);
        return undefined;
      case "nothing":
        return undefined;
      default:
        return this.#with_child(user, action, what);
    }
  }

  #with_child(
    user: User,
    action: Extract<Action, { op: "child_turn" | "cancel_child" | "dispose_child" }>,
    what: string,
  ): Begun | undefined {
    const living = user.children.filter(({ is_disposed }) => !is_disposed);
    const child: Child | undefined = living[action.child % Math.max(1, living.length)];
    if (child === undefined) {
      return undefined;
    }
    switch (action.op) {
      case "child_turn":
        return this.#engine(what, child.conversation.prompt(this.#parts.script.add_prompt(action.answer)));
      case "cancel_child":
        return cancel(child);
      case "dispose_child":
        child.conversation[Symbol.dispose]();
        return undefined;
    }
  }

  /** A call of the engine's: it may reject with anything. */
  #engine(what: string, promise: Promise<unknown>, may_hang = false): Begun {
    return this.#parts.waits.add(what, promise, { may_hang });
  }

  /** A call of the manager's. */
  #call<T>(life: ManagerLife, what: string, promise: Promise<T>, ending: Ending<T> = {}): Begun {
    return this.#parts.waits.add(what, promise, {
      resolved: (value) => {
        life.look();
        ending.resolved?.(value);
      },
      rejected: (error) => {
        life.look();
        life.tell(error, ending.operation ?? what);
        this.#check_error(life, what, error);
        ending.rejected?.(error);
      },
    });
  }

  #check_error(life: ManagerLife, what: string, error: unknown): void {
    if (!(error instanceof SessionError) || !EXPLAINED.includes(error.code)) {
      this.#parts.ledger.find("foreign-error", `${what} rejects with ${String(error)}`);
    } else if (has_code(error, "conflict") && this.writes_alone(life)) {
      this.#parts.ledger.find("needless-conflict", `${what} rejects with ${String(error)}`);
    }
  }

  /** Nobody else has ever written to the sessions of this manager: no other one, and no child of its own. */
  writes_alone(life: ManagerLife): boolean {
    const { users } = this.#parts;
    return users.every(({ lives, children }) => children.length === 0 && lives.every((other) => other === life));
  }

  /** A call that changes the conversation. */
  #guarded<T>(
    user: User,
    what: string,
    begin: () => Promise<T>,
    { has_changed = () => true, ...ending }: Ending<T> & { has_changed?: (value: T) => boolean },
  ): Begun {
    const { life } = user;
    const guarded = new GuardedCall(what, user, this.#parts.ledger, ending.needs_only_rest === true);
    user.guard(guarded);
    return this.#call(life, what, begin(), {
      resolved: (value) => {
        user.unguard(guarded);
        guarded.resolved(has_changed(value));
        ending.resolved?.(value);
      },
      rejected: (error) => {
        user.unguard(guarded);
        guarded.rejected(error);
        ending.rejected?.(error);
      },
    });
  }

  /** A call that changes the session, and says nothing of turns that come between. */
  #disturbing<T>(user: User, what: string, promise: Promise<T>, ending: Ending<T>): Begun {
    const mark = {};
    user.disturbing.add(mark);
    user.disturb();
    return this.#call(user.life, what, promise, {
      ...ending,
      resolved: (value) => {
        user.disturbing.delete(mark);
        ending.resolved?.(value);
      },
      rejected: (error) => {
        user.disturbing.delete(mark);
        ending.rejected?.(error);
      },
    });
  }

  #start_new(user: User, label: string | undefined, what: string): undefined {
    const { life, talk, conversation } = user;
    const { state } = conversation;
    const waiting = [...user.guarded].filter((guarded) => !guarded.has_acted);
    try {
      user.own(life.manager.start_new(label));
      life.starts += 1;
    } catch (error) {
      life.tell(error, what);
      this.#check_error(life, what, error);
      return undefined;
    }
    life.look();
    if (state !== "idle") {
      this.#parts.ledger.find("started-while-busy", `${what} while the conversation was ${state}`);
    }
    user.guarded.forEach((guarded) => (waiting.includes(guarded) ? guarded.overtake() : guarded.disturb()));
    talk.is_edited = talk.is_unsaved = false;
    talk.changes += 1;
    return undefined;
  }

  #load(user: User, ref: SessionRef | undefined, what: string): Begun | undefined {
    const { manager } = user.life;
    const needs_only_rest = true;
    if (ref === undefined) {
      return this.#named.may_load_any(user)
        ? this.#guarded(user, what, () => manager.load(), { needs_only_rest })
        : undefined;
    }
    const id = this.#named.session(user, ref);
    if (user.life.options.on_replace === "overwrite" && this.#named.is_child(id)) {
      return undefined; // its conversation and this one would overwrite each other's turns, as they are told to
    }
    const resolved = () => this.#check_known(id, what);
    return this.#guarded(user, what, () => manager.load(id), { needs_only_rest, resolved });
  }

  #fork(user: User, { session, detached, message }: Extract<Action, { op: "fork" }>, what: string): Begun {
    const { life } = user;
    const parent_id = this.#named.session(user, session);
    const message_id = message === undefined ? undefined : this.#named.message(user, parent_id, message);
    const fork = () => life.manager.fork(parent_id, { detached, ...(message_id !== undefined && { message_id }) });
    const resolved = (id: string) => {
      user.own(id);
      this.#check_known(parent_id, what);
      if (message === "unknown") {
        this.#parts.ledger.find("unknown-accepted", what);
      }
    };
    if (!detached) {
      return this.#guarded(user, what, fork, { resolved, needs_only_rest: true });
    }
    const { talk } = user;
    return this.#disturbing(user, what, fork(), {
      resolved: (id) => {
        resolved(id);
        talk.is_unsaved ||= !life.options.auto_save;
      },
    });
  }

  #delete(user: User, { session, forks }: Extract<Action, { op: "delete" }>, what: string): Begun {
    const { life } = user;
    const { ledger } = this.#parts;
    const id = this.#named.session(user, session);
    const deletion = ledger.begin_deletion({ id, manager: life, is_cascade: forks === "cascade" });
    const remove = () => life.manager.delete(id, { forks });
    const ending = {
      resolved: () => ledger.settle_deletion(deletion, true),
      rejected: () => ledger.settle_deletion(deletion, false),
    };
    if (id === life.session_id) {
      return this.#guarded(user, what, remove, ending);
    }
    return this.#disturbing(user, what, remove(), ending);
  }

  #save(user: User, custom: number | undefined, what: string): Begun {
    const { life, talk, conversation } = user;
    const { changes } = talk;
    const { session_id } = life;
    const history = replies_of(conversation.messages);
    const promise = life.manager.save(custom === undefined ? {} : { custom: { n: custom } });
    return this.#call(life, what, promise, {
      operation: "save",
      resolved: () => {
        if (talk.changes === changes && talk.life === life && life.session_id === session_id) {
          talk.is_edited = talk.is_unsaved = false;
        }
        const reply = history.at(-1);
        if (reply !== undefined) {
          life.promise(reply, history, session_id, "was saved by save()");
        }
        this.#acknowledge(history, what);
      },
    });
  }

  /** Expects the promises so far of this manager to be stored when the call resolves. */
  #acknowledging(life: ManagerLife, what: string): Ending<unknown> {
    const { ledger } = this.#parts;
    const before = ledger.promised.filter(({ manager }) => manager === life).map(({ reply }) => reply);
    return {
      operation: "flush",
      resolved: () => {
        if (!life.has_conflict) {
          this.#acknowledge(before, what);
        }
      },
    };
  }

  #acknowledge(replies: readonly string[], what: string): void {
    const { ledger } = this.#parts;
    for (const reply of replies) {
      if (!ledger.given_up.has(reply) && !ledger.shadows.holds(reply)) {
        ledger.find("acknowledged-early", `${what} resolved, and ${reply} is not stored`);
      }
      ledger.acknowledged.add(reply);
    }
  }

  #checkpoint(user: User, how: "ok" | "fail" | "stuck", what: string): Begun {
    if (user.conversation.messages.length > 0) {
      this.#parts.script.add_summary(how);
    }
    return this.#engine(what, user.conversation.checkpoint(), true);
  }

  /** The application changes the conversation itself. */
  #edit(user: User, action: Extract<Action, { op: "clear" | "edit" }>): void {
    const { conversation, life, talk } = user;
    if (conversation.state !== "idle") {
      return;
    }
    const before = conversation.messages as Message[];
    const after = action.op === "clear" ? [] : this.#edited(before, action);
    if (action.op === "clear") {
      conversation.clear();
    } else {
      conversation.load(after);
    }
    user.guarded.forEach((guarded) => guarded.edit());
    talk.is_edited = true;
    talk.changes += 1;
    const id = life.look();
    life.gap.unsaved.length = 0;
    const { ledger } = this.#parts;
    const kind = id === undefined ? undefined : ledger.shadows.sessions.get(id)?.kind;
    if (life.options.on_replace === "overwrite" || kind === "checkpoint") {
      const [held, kept] = [replies_of(before), replies_of(after)];
      ledger.give_up(held.filter((reply) => !kept.includes(reply)));
      ledger.release_history(({ reply }) => held.includes(reply));
    }
  }

  #edited(messages: Message[], { how, at }: Extract<Action, { op: "edit" }>): Message[] {
    const place = at % (messages.length + 1);
    switch (how) {
      case "cut":
        return messages.slice(0, place);
      case "leave_out": {
        const reply = texts_of(messages).findIndex((text, n) => n >= place && text.startsWith("r"));
        return reply < 1 ? messages.slice() : messages.filter((_, n) => n !== reply && n !== reply - 1);
      }
      case "own": {
        this.#messages += 1;
        const [said, answered] = [`said ${this.#messages}`, `answered ${this.#messages}`];
        return [
          { role: "user", id: said, content: [{ type: "text", text: said }] },
          { role: "assistant", id: answered, content: [{ type: "text", text: answered }] },
        ];
      }
    }
  }

  #dispose(user: User, how: "sync" | "async", what: string): Begun | undefined {
    const { life, talk } = user;
    if (how === "sync") {
      user.disturb();
      life.manager[Symbol.dispose]();
      return undefined;
    }
    life.is_ending = true;
    life.waits_for_turn = talk.is_in_flight;
    return this.#disturbing(user, what, life.manager[Symbol.asyncDispose](), this.#acknowledging(life, what));
  }

  #reopen(user: User, { same_conversation }: Extract<Action, { op: "reopen" }>, begun: Begun | undefined): void {
    const { has_revisions } = this.#parts;
    const is_over = user.life.is_disposed;
    if (!has_revisions && begun?.state !== "resolved") {
      user.own_ids = []; // the manager before may still write to them
      user.has_others = true;
    }
    if (!has_revisions && user.children.some(({ is_disposed }) => !is_disposed)) {
      user.own_ids = user.own_ids.filter((id) => !this.#named.is_child(id));
      user.has_others = true;
    }
    user.open(same_conversation && is_over);
  }

  #check_known(id: string, what: string): void {
    if (id === UNKNOWN) {
      this.#parts.ledger.find("unknown-accepted", what);
    }
  }
}

function cancel({ conversation }: Child | User["talk"]): undefined {
  if (conversation.state === "awaiting_response" || conversation.state === "streaming_response") {
    conversation.cancel_response();
  }
  return undefined;
}
