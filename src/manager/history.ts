import type { Message } from "@simulacra-ai/core";
import type { SessionError } from "../errors.js";
import { copy_message, same_json, type Messages } from "../messages.js";
import type { StoredSession } from "../types.js";

/** A message that cannot be stored. The whole turn of the message is left out. */
export interface LeftOut {
  error: SessionError;
  /** Identifies the message in all histories. */
  content: unknown;
}

/**
 * The messages that a conversation has held, as an append-only log. A conversation that no longer continues its
 * history begins a new history.
 *
 * Hazard: the application may edit messages in place, and may add messages that JSON cannot hold. So a message is
 * copied through JSON when the message enters the history. The copy is kept until the message is stored. A turn that
 * cannot be copied is left out. A stored message costs two references.
 */
export class History {
  #contents: unknown[] = [];
  #ids: (string | undefined)[] = [];
  /** The copies of messages that are not stored yet, by position. */
  #copies = new Map<number, Message>();
  /** The positions of messages that are left out, with the reason. */
  #left_out = new Map<number, SessionError>();
  /** Turns that were left out since `take_left_out` was called. */
  #new_left_out: LeftOut[] = [];
  /** The conversation's messages at the last read. Kept until every message is stored. */
  #live: Messages = [];

  constructor(
    /** The conversation that the history follows. Two conversations may follow one session. */
    readonly conversation: { readonly messages: Messages; readonly is_disposed: boolean },
    /** The number of leading stored messages that the session inherits. Messages that are left out do not count. */
    public inherited = 0,
    /** True when every message was copied by an explicit save, so edits in place are stored. */
    readonly is_exact = false,
  ) {}

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
   * Extends this history if the messages continue it, and begins a new one otherwise. Returns the history. An exact
   * history is always new, and holds a present copy of every message.
   */
  follow(messages: Messages, is_exact: boolean): History {
    const matching = this.#matching(messages);
    if (matching === this.length && !is_exact) {
      this.#extend(messages);
      return this;
    }
    const inherited = this.storable(matching) >= this.inherited ? this.inherited : 0;
    const successor = new History(this.conversation, inherited, is_exact);
    if (!is_exact) {
      const is_kept = ([at]: [number, unknown]) => at < matching;
      successor.#contents = this.#contents.slice(0, matching);
      successor.#ids = this.#ids.slice(0, matching);
      successor.#copies = new Map([...this.#copies].filter(is_kept));
      successor.#left_out = new Map([...this.#left_out].filter(is_kept));
    }
    successor.#extend(messages);
    return successor;
  }

  /** Returns the turns that were left out since the last call. The caller reports the turns. */
  take_left_out(): LeftOut[] {
    return this.#new_left_out.splice(0);
  }

  /** Counts the messages among the first `count` that can be stored. */
  storable(count: number): number {
    return count - [...this.#left_out.keys()].filter((at) => at < count).length;
  }

  /** True if a record holds the first `count` messages of this history, and nothing else. */
  is_held_by({ messages }: StoredSession, count: number): boolean {
    const own = [...this.#contents.keys()].filter((at) => at < count && !this.#left_out.has(at));
    own.splice(0, this.inherited);
    return (
      own.length === messages.length &&
      messages.every(({ id, content }, index) => {
        const at = own[index] as number;
        return id === this.#ids[at] && same_json(content, this.#contents[at]);
      })
    );
  }

  /** Returns the reason why a turn that the conversation still holds was left out. */
  reason_left_out(): SessionError | undefined {
    const messages = this.#left_out.size > 0 ? this.conversation.messages : [];
    const held = [...this.#left_out].find(([at]) => at in messages && messages[at]?.content === this.#contents[at]);
    return held?.[1];
  }

  /**
   * Returns a function that reads the present storable messages of a range, even after the history was extended.
   * Positions from `copied_from` on are read from the copies, earlier ones from the live messages.
   */
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

  /** Reads messages from `messages` again after `release`. Returns false if the first `count` messages differ. */
  recall(messages: Messages, count: number): boolean {
    const is_held = this.#matching(messages) >= count;
    if (is_held) {
      this.#live = messages;
    }
    return is_held;
  }

  /** Drops the copies of the first `count` messages, which are stored. Drops the live messages when no save is left. */
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

  /** Counts the equal leading messages. Compares content by reference, then id, then JSON. */
  #matching(messages: Messages): number {
    const contents = this.#contents; // this loop runs over all messages at every turn
    const length = Math.min(messages.length, contents.length);
    for (let at = 0; at < length; at += 1) {
      const content: unknown = messages[at]?.content;
      if (content !== contents[at]) {
        if (messages[at]?.id !== this.#ids[at] || !same_json({ content }, { content: contents[at] })) {
          return at;
        }
        contents[at] = content;
      }
    }
    return length;
  }

  #extend(messages: Messages): void {
    this.#live = Object.isFrozen(messages) ? messages : messages.slice();
    for (let from = this.length; from < messages.length; from = this.length) {
      let to = from + 1;
      while (to < messages.length && (messages[to] as Message | null)?.role !== "user") {
        to += 1;
      }
      this.#take_turn(messages, from, to);
    }
  }

  #take_turn(messages: Messages, from: number, to: number): void {
    const copies: [number, Message][] = [];
    let problem: LeftOut | undefined;
    for (let at = from; at < to; at += 1) {
      const message = messages[at] as Message;
      this.#push(message);
      try {
        copies.push([at, copy_message(message, at)]);
      } catch (error) {
        problem ??= { error: error as SessionError, content: message?.content };
      }
    }
    if (!problem) {
      copies.forEach(([at, copy]) => this.#copies.set(at, copy));
      return;
    }
    for (let at = from; at < to; at += 1) {
      this.#left_out.set(at, problem.error);
    }
    this.#new_left_out.push(problem);
  }

  #push(message: Readonly<Message> | null | undefined): void {
    this.#contents.push(message?.content);
    this.#ids.push(message?.id);
  }
}
