import { AwaitingProvider, Conversation, type ModelRequest, StreamingProvider } from "@simulacra-ai/core";
import type { Faults } from "./faulty-store.js";
import type { GuardedCall } from "./guarded-calls.js";
import type { ManagerLife } from "./manager-life.js";
import type { Plan } from "./plan.js";
import type { Script } from "./script.js";
import { replies_of, text_of } from "./texts.js";

/** A child conversation; `has_session`: its parent's manager gave it one. */
export interface Child {
  conversation: Conversation;
  has_session: boolean;
  is_disposed: boolean;
}

/** A conversation, and the manager that listens to it. */
export interface Talk {
  conversation: Conversation;
  life: ManagerLife | undefined;
  /** Since the prompt of the turn in flight was sent. */
  is_in_flight: boolean;
  /** The application changed the messages, and no turn or save has followed. */
  is_edited: boolean;
  /** Without `auto_save`: turns completed, and no save has followed. */
  is_unsaved: boolean;
  /** Grows with every change of the messages. */
  changes: number;
  /** Grows with every sign of a turn. */
  activity: number;
}

export interface UserParts {
  plan: Plan;
  script: Script;
  faults: Faults;
  open_life(user: User, conversation: Conversation): ManagerLife;
}

/** A user with a conversation and a manager at a time, and with all that they had before. */
export class User {
  readonly number: 0 | 1;
  readonly faults: Faults;
  readonly children: Child[] = [];
  readonly lives: ManagerLife[] = [];
  readonly talks: Talk[] = [];
  /** Sessions that no other writer knows: with stores that have no revisions, no others are touched. */
  own_ids: string[] = [];
  /** There are sessions that somebody else may still write to. */
  has_others = false;
  /** Calls under way that change the conversation, and may do so only if no turn has come between. */
  readonly guarded = new Set<GuardedCall>();
  /** Other calls under way that may change the conversation or the session. */
  readonly disturbing = new Set<object>();
  readonly #parts: UserParts;

  constructor(number: 0 | 1, parts: UserParts) {
    this.number = number;
    this.faults = parts.faults;
    this.#parts = parts;
    this.open();
  }

  get talk(): Talk {
    return this.talks.at(-1) as Talk;
  }

  get life(): ManagerLife {
    return this.lives.at(-1) as ManagerLife;
  }

  get conversation(): Conversation {
    return this.talk.conversation;
  }

  /** Begins with a new manager, on the conversation so far or another one. */
  open(same_conversation = false): void {
    if (!same_conversation || this.talks.length === 0) {
      this.talks.push(this.#new_talk());
    }
    const { talk } = this;
    const life = this.#parts.open_life(this, talk.conversation);
    talk.life = life;
    talk.is_edited = talk.is_unsaved = false;
    life.on_load = () => {
      talk.is_edited = talk.is_unsaved = false;
      talk.changes += 1;
    };
    this.lives.push(life);
  }

  own(id: string): void {
    if (!this.own_ids.includes(id)) {
      this.own_ids.push(id);
    }
  }

  /** Of two guarded calls under way at once nothing is said. */
  guard(call: GuardedCall): void {
    if (this.guarded.size > 0 || this.disturbing.size > 0) {
      this.disturb();
      call.disturb();
    }
    this.guarded.add(call);
  }

  unguard(call: GuardedCall): void {
    this.guarded.delete(call);
  }

  /** Something changes the conversation beside the guarded calls. */
  disturb(): void {
    this.guarded.forEach((call) => call.disturb());
  }

  /** Cancels every turn in flight that can be, so that all come to rest. */
  cancel_all(): void {
    for (const { conversation } of [...this.talks, ...this.children]) {
      if (["awaiting_response", "streaming_response"].includes(conversation.state)) {
        conversation.cancel_response();
      }
    }
  }

  get is_at_rest(): boolean {
    return [...this.talks, ...this.children].every(({ conversation }) =>
      ["idle", "disposed"].includes(conversation.state),
    );
  }

  /** Listens before any manager does. */
  #new_talk(): Talk {
    const { plan, script } = this.#parts;
    const answer = (request: ModelRequest) => script.answer(request);
    const provider = plan.provider === "awaiting" ? new AwaitingProvider(answer) : new StreamingProvider(answer);
    const conversation = new Conversation(provider);
    const talk: Talk = {
      ...{ conversation, life: undefined, is_in_flight: false },
      ...{ is_edited: false, is_unsaved: false, changes: 0, activity: 0 },
    };
    conversation.on("before_request", () => (talk.activity += 1));
    conversation.on("prompt_send", () => (talk.is_in_flight = true));
    conversation.on("state_change", ({ current }) => {
      talk.activity += 1;
      talk.is_in_flight &&= current !== "idle";
    });
    conversation.on("message_complete", ({ message }) => this.#turn_completed(talk, text_of(message)));
    conversation.on("create_child", (child) => this.#child_created(talk, child));
    conversation.on("checkpoint_begin", (child) => this.#checkpoint_began(child));
    return talk;
  }

  #turn_completed(talk: Talk, reply: string): void {
    const { life } = talk;
    talk.is_in_flight = false;
    talk.changes += 1;
    this.guarded.forEach((call) => call.turn_completed(reply, talk));
    if (life === undefined || !life.hears_turn()) {
      return;
    }
    life.turn_completed(reply, replies_of(talk.conversation.messages));
    if (life.options.auto_save) {
      talk.is_edited &&= life.session_id === undefined;
    } else {
      talk.is_unsaved = true;
    }
  }

  #child_created({ life }: Talk, conversation: Conversation): void {
    if (conversation.is_checkpoint) {
      return;
    }
    const is_kept = life !== undefined && !life.is_disposed && !life.is_ending && life.look() !== undefined;
    const began = life?.now() ?? 0;
    const child: Child = { conversation, has_session: is_kept, is_disposed: false };
    this.children.push(child);
    conversation.on("dispose", () => (child.is_disposed = true));
    conversation.on("message_complete", ({ message }) => {
      if (is_kept) {
        life.child_turn_completed(text_of(message), replies_of(conversation.messages), began);
      }
    });
  }

  /** The child that summarizes is cancelled as soon as it has been asked, where it is to get stuck. */
  #checkpoint_began(child: Conversation): void {
    if (this.#parts.script.next_summary === "stuck") {
      child.on("state_change", ({ current }) => {
        if (current === "awaiting_response") {
          queueMicrotask(() => child.state === "awaiting_response" && child.cancel_response());
        }
      });
    }
  }
}
