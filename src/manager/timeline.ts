import { isDeepStrictEqual } from "node:util";
import type { Message } from "@simulacra-ai/core";
import type { SessionDraft } from "../types.js";

export type Messages = readonly Readonly<Message>[];

/** Equal as JSON holds them, whatever the order of their keys. */
function same_json(a: unknown, b: unknown): boolean {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
  return left === right || isDeepStrictEqual(JSON.parse(left), JSON.parse(right));
}

type MessagesEvent = Readonly<{ id: string; messages: Messages; draft?: SessionDraft }>;

/** What listeners are told of a session: its messages are made ready where one asks for them, O(messages). */
export function messages_event(id: string, messages: Messages, draft?: SessionDraft): MessagesEvent {
  return new LazyMessagesEvent(id, messages, draft);
}

/** One getter for all events: with one for each, the engine would keep every event until it sweeps the whole heap. */
class LazyMessagesEvent implements MessagesEvent {
  readonly id: string;
  declare readonly messages: Messages;
  declare readonly draft?: SessionDraft;
  #messages: Messages;

  static readonly #lazy_messages: PropertyDescriptor & ThisType<LazyMessagesEvent> = {
    enumerable: true,
    get() {
      return (this.#messages = frozen_messages(this.#messages));
    },
  };

  constructor(id: string, messages: Messages, draft: SessionDraft | undefined) {
    this.id = id;
    this.#messages = Object.isFrozen(messages) ? messages : frozen_messages(messages); // others may change meanwhile
    Object.defineProperty(this, "messages", LazyMessagesEvent.#lazy_messages);
    if (draft !== undefined) {
      this.draft = draft;
    }
    Object.freeze(this);
  }
}

/** The messages as a frozen array of frozen messages; what is not frozen is copied, never frozen itself. */
function frozen_messages(messages: Messages): Messages {
  if (Object.isFrozen(messages) && messages.every((message) => Object.isFrozen(message))) {
    return messages;
  }
  return Object.freeze(messages.map((message) => Object.freeze({ ...message })));
}

/** How many leading messages are equal by value. */
export function common_prefix(a: Messages, b: Messages): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    if (!same_json(a[at], b[at])) {
      return at;
    }
  }
  return length;
}

/** Whether a history begins with another one, by value. */
export function begins_with(history: Messages, beginning: Messages): boolean {
  return common_prefix(history, beginning) === beginning.length;
}

/**
 * What a conversation has held so far, as references: it only grows. A conversation that no longer continues it
 * begins a new timeline. Holds two references a message.
 */
export class Timeline {
  readonly #contents: unknown[] = [];
  readonly #ids: (string | undefined)[] = [];
  /** How many of the messages, at the beginning, belong to the session's parents. */
  inherited: number;

  constructor(inherited = 0) {
    this.inherited = inherited;
  }

  get length(): number {
    return this.#contents.length;
  }

  /** How many leading messages are those of this timeline. Compares content by reference, then id, then JSON. */
  matching(messages: Messages): number {
    const length = Math.min(messages.length, this.length);
    for (let at = 0; at < length; at += 1) {
      const message = messages[at] as Message;
      if (message.content !== this.#contents[at]) {
        if (message.id !== this.#ids[at] || !same_json({ c: message.content }, { c: this.#contents[at] })) {
          return at;
        }
        this.#contents[at] = message.content;
      }
    }
    return length;
  }

  /** Takes the messages past the end; the caller knows that those before it match. */
  extend(messages: Messages): void {
    for (let at = this.length; at < messages.length; at += 1) {
      const message = messages[at] as Message;
      this.#contents.push(message.content);
      this.#ids.push(message.id);
    }
  }
}
