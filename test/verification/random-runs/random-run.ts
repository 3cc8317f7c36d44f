import type { Message } from "@simulacra-ai/core";
import type { SessionManagerOptions, SessionStore } from "@simulacra-ai/session";
import { expect } from "vitest";
import { round } from "../../core/helpers.js";
import { open_plain } from "../../support/open-session.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import { seeded_random } from "../../support/random.js";
import { RecordingStore } from "../../support/recording-store.js";

/** What a session has to be like in the end. */
export interface Expected {
  messages: Message[];
  label?: string;
  requests: number;
}

type Action = () => Promise<void> | void;

/**
 * One manager that is used at random, over a store that is slow and fails now and then. What must come of it is kept
 * beside, in the simplest way there is: a copy of the conversation at each step that stores it.
 */
export class RandomRun {
  readonly sessions = new Map<string, Expected>();
  readonly children: { conversation: PlainConversation; expected: Expected }[] = [];
  readonly errors;
  readonly #store: RecordingStore;
  readonly #manager;
  readonly #conversation;
  readonly #random;
  readonly #seed: number;
  readonly #background: Promise<unknown>[] = [];
  #words = 0;

  constructor(store: SessionStore, seed: number, options: SessionManagerOptions) {
    this.#store = new RecordingStore(store);
    this.#random = seeded_random(seed);
    this.#seed = seed;
    const { manager, conversation, errors } = open_plain(this.#store, options);
    this.#manager = manager;
    this.#conversation = conversation;
    this.errors = errors;
  }

  async run(steps: number): Promise<void> {
    const actions: [number, Action][] = [
      [10, () => this.#say(this.#conversation, this.#current)],
      [6, () => this.#fail_soon()],
      [3, async () => void (await round())],
      [2, () => this.#begin(this.#random.below(2) > 0 ? `label ${this.#seed}` : undefined)],
      [2, () => this.#load()],
      [2, () => this.#fork()],
      [2, () => this.#rename()],
      [2, () => this.#edit_and_save()],
      [1, () => this.#cut()],
      [1, () => this.#spawn()],
      [3, () => this.#let_child_speak()],
      [1, () => this.#delete()],
    ];
    const weighted = actions.flatMap(([weight, action]) => Array<Action>(weight).fill(action));
    this.#be_slow();
    this.#begin();
    for (let step = 0; step < steps; step += 1) {
      await this.#random.pick(weighted)();
    }
    await this.#come_to_rest();
    this.#store.heal();
  }

  get #current(): Expected {
    return this.#expected(this.#manager.current_session_id ?? "");
  }

  #expected(id: string): Expected {
    const expected = this.sessions.get(id);
    if (expected === undefined) {
      throw new Error(`nothing is known of session ${id}`);
    }
    return expected;
  }

  #any_session(): string {
    return this.#random.pick([...this.sessions.keys()]);
  }

  #begin(label?: string): void {
    const id = this.#manager.start_new(label);
    this.sessions.set(id, { messages: [], requests: 0, ...(label !== undefined && { label }) });
  }

  #say(speaker: PlainConversation, expected: Expected): void {
    this.#words += 1;
    speaker.turn(`words ${this.#words}`, `answer ${this.#words}`, { usage: { output_tokens: 1 } });
    expected.messages = structuredClone(speaker.messages);
    expected.requests += 1;
  }

  async #load(): Promise<void> {
    await this.#come_to_rest();
    const id = this.#any_session();
    await this.#manager.load(id);
    expect(this.#conversation.messages).toEqual(this.#expected(id).messages);
  }

  async #fork(): Promise<void> {
    await this.#come_to_rest();
    const parent_id = this.#any_session();
    const parent = this.#expected(parent_id);
    const id = await this.#manager.fork(parent_id);
    expect(this.#conversation.messages).toEqual(parent.messages);
    this.sessions.set(id, { messages: structuredClone(parent.messages), requests: 0 });
  }

  async #rename(): Promise<void> {
    await this.#come_to_rest();
    const id = this.#any_session();
    const label = `name ${this.#random.below(100)}`;
    this.#expected(id).label = label;
    this.#background.push(this.#manager.rename(id, label));
  }

  async #edit_and_save(): Promise<void> {
    await this.#come_to_rest();
    const part = this.#random.pick(this.#conversation.messages)?.content[0];
    if (part?.type === "text") {
      part.text += ", edited";
    }
    this.#current.messages = structuredClone(this.#conversation.messages);
    this.#background.push(this.#manager.save());
  }

  /** The application takes turns out of the conversation, and goes on. */
  #cut(): void {
    const { messages } = this.#conversation;
    this.#conversation.load(messages.slice(0, 2 * this.#random.below(messages.length / 2 + 1)));
    this.#say(this.#conversation, this.#current);
  }

  #spawn(): void {
    const child = new PlainConversation();
    child.load(this.#conversation.messages);
    this.#conversation.spawn(child);
    const expected = { messages: structuredClone(child.messages), requests: 0 };
    this.children.push({ conversation: child, expected });
  }

  #let_child_speak(): void {
    if (this.children.length > 0) {
      const child = this.#random.pick(this.children);
      this.#say(child.conversation, child.expected);
    }
  }

  async #delete(): Promise<void> {
    await this.#come_to_rest();
    const id = this.#any_session();
    expect(await this.#manager.delete(id)).toBe(true);
    this.sessions.delete(id);
    if (!this.#manager.is_loaded) {
      expect(this.#conversation.messages).toEqual([]);
      this.#begin();
    }
  }

  /** Not where somebody waits for a save: what is rejected need not be stored. */
  #fail_soon(): void {
    if (this.#background.length === 0) {
      this.#store.fail_saves({ nth: 1 + this.#random.below(3) });
    }
  }

  #be_slow(): void {
    this.#store.intercept(
      ["append", "replace", "save", "update", "load", "flush"],
      async (perform) => {
        for (let rounds = this.#random.below(4); rounds > 0; rounds -= 1) {
          await round();
        }
        return perform();
      },
      { times: Infinity },
    );
  }

  /** What failed is tried again, and nothing fails any more: all is stored. */
  async #come_to_rest(): Promise<void> {
    this.#store.heal();
    await Promise.all(this.#background.splice(0));
    await this.#manager.flush();
    this.#be_slow();
  }
}
