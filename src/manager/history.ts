import type { Message } from "@simulacra-ai/core";
import type { SessionError } from "../errors.js";
import { copy_message, same_json, type Messages } from "../messages.js";
import type { StoredSession } from "../types.js";

/** A message that cannot be stored. The whole turn around it is left out. */
export interface LeftOut {
  /** Position in the conversation. */
  at: number;
  error: SessionError;
  /** Identifies the message, whichever history takes it. */
  content: unknown;
}

/**
 * The messages that a conversation has held, as an append-only log. A conversation that no longer continues its
 * history begins a new history.
 *
 * Hazard: the application may edit messages in place, and may put in messages that JSON cannot hold. So a message is
 * copied through JSON when it enters the history, and the copy is kept until it is stored. A turn that cannot be copied
 * is left out. Stored messages cost two references each.
 */
export class History {
  /** The conversation that is followed. Two conversations may follow one session. */
  readonly conversation: { readonly messages: Messages; readonly is_detached: boolean };
  /** True when every message was copied by an explicit save, so edits in place count. */
  readonly is_exact: boolean;
  /** The number of stored messages, at the beginning, that belong to the session's parents. */
  inherited: number;
  readonly #contents: unknown[] = [];
  readonly #ids: (string | undefined)[] = [];
  readonly #copies = new Map<number, Message>();
  /** Positions of messages that are left out, with the reason. */
  readonly #left_out = new Map<number, SessionError>();
  /** The conversation's messages as they were read last, until all of them are stored. */
  #live: Messages = [];

  constructor(conversation: History["conversation"], inherited = 0, is_exact = false) {
    this.conversation = conversation;
    this.inherited = inherited;
    this.is_exact = is_exact;
  }

  get length(): number {
    return this.#contents.length;
  }

  /** Begins a history of messages that are stored already. */
  static of_stored(conversation: History["conversation"], messages: Messages, inherited: number): History {
    const history = new History(conversation, inherited);
    for (const message of messages) {
      history.#push(message);
    }
    return history;
  }

  /**
   * Returns the history that the conversation follows now: this one, extended, or a new one where the messages do not
   * continue it. `left_out` is called for each new turn that cannot be stored.
   */
  follow(messages: Messages, left_out: (turn: LeftOut) => void): History {
    const matching = this.#matching(messages);
    if (matching === this.length) {
      this.#extend(messages, left_out);
      return this;
    }
    const keeps_inherited = this.storable(matching) >= this.inherited;
    const successor = new History(this.conversation, keeps_inherited ? this.inherited : 0);
    for (let at = 0; at < matching; at += 1) {
      successor.#push(messages[at]);
      const copy = this.#copies.get(at);
      if (copy !== undefined) {
        successor.#copies.set(at, copy);
      }
      const reason = this.#left_out.get(at);
      if (reason !== undefined) {
        successor.#left_out.set(at, reason);
      }
    }
    successor.#extend(messages, left_out);
    return successor;
  }

  /** Returns a history that holds a copy of every message as it is now, edits in place included. */
  snapshot(messages: Messages, left_out: (turn: LeftOut) => void): History {
    const keeps_inherited = this.storable(this.#matching(messages)) >= this.inherited;
    const snapshot = new History(this.conversation, keeps_inherited ? this.inherited : 0, true);
    snapshot.#extend(messages, left_out);
    return snapshot;
  }

  /** Returns how many of the first `count` messages can be stored. */
  storable(count: number): number {
    let left_out = 0;
    for (const at of this.#left_out.keys()) {
      left_out += at < count ? 1 : 0;
    }
    return count - left_out;
  }

  /** True where a record holds the first `count` messages of this history, and nothing else. */
  is_held_by({ messages }: StoredSession, count: number): boolean {
    const own: number[] = [];
    for (let at = 0; at < count; at += 1) {
      if (!this.#left_out.has(at)) {
        own.push(at);
      }
    }
    own.splice(0, this.inherited);
    return (
      own.length === messages.length &&
      own.every((at, index) => {
        const message = messages[index];
        return message?.id === this.#ids[at] && same_json(message?.content, this.#contents[at]);
      })
    );
  }

  /** Returns why a turn was left out that the conversation still holds. */
  reason_left_out(): SessionError | undefined {
    const messages = this.#left_out.size > 0 ? this.conversation.messages : [];
    const held = [...this.#left_out].find(([at]) => at in messages && messages[at]?.content === this.#contents[at]);
    return held?.[1];
  }

  /** Returns a function that reads the storable messages of a range as they are now, however the history goes on. */
  reader(copied_from: number): (from: number, to: number) => Message[] {
    const live = this.#live;
    const copies = new Map([...this.#copies].filter(([at]) => at >= copied_from || this.is_exact));
    return (from, to) => {
      const messages: Message[] = [];
      for (let at = from; at < to; at += 1) {
        if (!this.#left_out.has(at)) {
          messages.push(copies.get(at) ?? (live[at] as Message));
        }
      }
      return messages;
    };
  }

  /** Takes the first `count` messages back, which were released. Returns false where these are not the same. */
  recall(messages: Messages, count: number): boolean {
    const is_held = this.#matching(messages) >= count;
    if (is_held) {
      this.#live = messages;
    }
    return is_held;
  }

  /** Drops the copies of the first `count` messages, which are stored, and everything once no save is left. */
  release(count: number, is_finished: boolean): void {
    for (const at of this.#copies.keys()) {
      if (at < count) {
        this.#copies.delete(at);
      }
    }
    if (is_finished) {
      this.#live = [];
    }
  }

  /** Returns how many leading messages are equal. Compares content by reference, then id, then JSON. */
  #matching(messages: Messages): number {
    const length = Math.min(messages.length, this.length);
    for (let at = 0; at < length; at += 1) {
      const content: unknown = messages[at]?.content;
      if (content !== this.#contents[at]) {
        if (messages[at]?.id !== this.#ids[at] || !same_json({ content }, { content: this.#contents[at] })) {
          return at;
        }
        this.#contents[at] = content;
      }
    }
    return length;
  }

  /** Takes the messages past the end, turn by turn. */
  #extend(messages: Messages, left_out: (turn: LeftOut) => void): void {
    this.#live = Object.isFrozen(messages) ? messages : messages.slice();
    for (let from = this.length; from < messages.length;) {
      let to = from + 1;
      while (to < messages.length && (messages[to] as Partial<Message> | null)?.role !== "user") {
        to += 1;
      }
      this.#take_turn(messages, from, to, left_out);
      from = to;
    }
  }

  #take_turn(messages: Messages, from: number, to: number, left_out: (turn: LeftOut) => void): void {
    const copies: [number, Message][] = [];
    let problem: LeftOut | undefined;
    for (let at = from; at < to; at += 1) {
      const message = messages[at] as Message;
      this.#push(message);
      try {
        copies.push([at, copy_message(message, at)]);
      } catch (error) {
        problem ??= { at, error: error as SessionError, content: message?.content };
      }
    }
    if (problem === undefined) {
      copies.forEach(([at, copy]) => this.#copies.set(at, copy));
      return;
    }
    for (let at = from; at < to; at += 1) {
      this.#left_out.set(at, problem.error);
    }
    left_out(problem);
  }

  #push(message: Readonly<Message> | null | undefined): void {
    this.#contents.push(message?.content);
    this.#ids.push(message?.id);
  }
}
