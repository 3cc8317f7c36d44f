import { Conversation, type Message, next_reply, type ScriptedStep, StreamingProvider } from "@simulacra-ai/core";
import {
  type SessionDraft,
  SessionManager,
  type SessionManagerOptions,
  type SessionStore,
} from "@simulacra-ai/session";
import { outcome_of } from "../../stores/helpers.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import type { Action } from "./manager-actions.js";

/** What tells one run from another and means nothing: ids. */
const anonymous = (text: string) => text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{40}/g, "<id>");

export function texts_of(messages: readonly Readonly<Message>[]): string {
  return messages
    .flatMap(({ content }) => content.map((part) => (part.type === "text" ? part.text : part.type)))
    .join();
}

function text_of(message: Message | undefined): string {
  return message === undefined ? "" : texts_of([message]);
}

function draft_text(draft: SessionDraft | undefined): string {
  if (draft === undefined) {
    return "no draft";
  }
  const { prompt, partial } = draft;
  return `draft of ${text_of(prompt)}: ${texts_of([{ role: "assistant", content: partial?.content ?? [] }])}`;
}

/** How a turn goes that does not come to its end. */
const BROKEN = {
  request: { fail_request: new Error("no network") },
  stream: { text: "half an answer", chunks: 2, fail_stream: new Error("cut") },
  cancel: { text: "not wanted", gate: new Promise<void>(() => undefined) },
} satisfies Record<string, ScriptedStep>;

/** One store, and a manager over it that goes through what a user does. */
export class ManagerWorld {
  /** What was reported and nobody waited for. */
  readonly errors: string[] = [];
  readonly #open_store: () => SessionStore;
  readonly #options: SessionManagerOptions;
  #store: SessionStore;
  #conversation!: Conversation;
  #provider!: StreamingProvider;
  #manager!: SessionManager;
  readonly #sessions: string[] = [];
  readonly #last_seen = new Map<string, readonly Readonly<Message>[]>();
  #background: Promise<string>[] = [];
  #count = 0;

  /** `open_store`: of the same sessions each time. */
  constructor(open_store: () => SessionStore, options: SessionManagerOptions) {
    this.#open_store = open_store;
    this.#options = options;
    this.#store = open_store();
    this.#open();
    this.#note(this.#manager.start_new());
  }

  #open(): void {
    this.#provider = new StreamingProvider(({ messages }) => ({ text: `re: ${text_of(messages.at(-1))}` }));
    this.#conversation = new Conversation(this.#provider);
    this.#manager = new SessionManager(this.#store, this.#conversation, this.#options);
    this.#manager.on("lifecycle_error", ({ error, operation }) =>
      this.errors.push(anonymous(`${operation}: ${String(error)}`)),
    );
    this.#manager.on("conflict", ({ error }) => this.errors.push(`conflict: ${String(error)}`));
  }

  #note(id: string | undefined): void {
    if (id !== undefined) {
      this.#sessions.push(id);
    }
  }

  #session(n: number): string {
    return this.#sessions[n % this.#sessions.length] ?? "";
  }

  /** Does it, and says what came of it and what the conversation is like then. */
  async perform(action: Action): Promise<string> {
    this.#count += 1;
    let outcome = anonymous(await outcome_of(this.#perform(action)));
    if (action.op === "flush" || action.op === "reopen") {
      outcome += (await Promise.all(this.#background.splice(0))).join();
    }
    const { messages } = this.#conversation;
    const id = this.#manager.current_session_id;
    if (id !== undefined) {
      this.#last_seen.set(id, messages);
    }
    const summary = this.#conversation.checkpoint_state?.summary;
    return `${outcome}; in session ${id === undefined ? "none" : this.#sessions.indexOf(id)}: ${texts_of(messages)} ${summary} ${draft_text(this.#manager.draft)}`;
  }

  async #perform(action: Action): Promise<void> {
    const manager = this.#manager;
    switch (action.op) {
      case "turn":
        return this.#turn(this.#conversation, `${this.#count}`);
      case "broken_turn":
        return this.#broken_turn(action.how);
      case "resume_draft":
        await Promise.all([manager.resume_draft(), manager.draft && next_reply(this.#conversation)]);
        return;
      case "discard_draft":
        return manager.discard_draft();
      case "child":
        return this.#child(action);
      case "checkpoint":
        await this.#conversation.checkpoint();
        return;
      case "start_new":
        this.#note(manager.start_new(action.label));
        return;
      case "load":
        return manager.load(this.#session(action.session));
      case "load_newest": {
        const id = this.#session(action.session);
        await manager.flush();
        await new Promise((resolve) => setTimeout(resolve, 2)); // later than anything else
        await manager.rename(id, `newest ${this.#count}`);
        const kind = (await this.#store.load(id))?.metadata.kind;
        return manager.load(kind === "root" || kind === "fork" ? undefined : id);
      }
      case "fork": {
        const parent = this.#session(action.session);
        const message_id = this.#message_of(parent, action.message);
        this.#note(
          await manager.fork(parent, { detached: action.detached, ...(message_id !== undefined && { message_id }) }),
        );
        return;
      }
      case "rewind":
        this.#note(await manager.rewind(this.#message_of(manager.current_session_id, action.message) ?? "none"));
        return;
      case "rename":
        return this.#await_if(action, manager.rename(this.#session(action.session), action.label));
      case "save":
        return this.#await_if(action, manager.save({ custom: { n: action.custom } }));
      case "delete":
        await manager.delete(this.#session(action.session), { forks: action.forks });
        return;
      case "clear":
        this.#conversation.clear();
        return;
      case "cut":
        this.#conversation.load(this.#conversation.messages.slice(0, action.message));
        return;
      case "flush":
        return manager.flush();
      case "reopen": {
        const id = manager.current_session_id;
        await manager[Symbol.asyncDispose]();
        this.#store = this.#open_store();
        this.#open();
        return id === undefined || (await this.#store.load(id)) === undefined ? undefined : this.#manager.load(id);
      }
    }
  }

  async #turn(conversation: Conversation, text: string): Promise<void> {
    await Promise.all([next_reply(conversation), conversation.prompt(text)]);
  }

  async #broken_turn(how: keyof typeof BROKEN): Promise<void> {
    const conversation = this.#conversation;
    this.#provider.enqueue(BROKEN[how]);
    const cancel = () => void setImmediate(() => conversation.cancel_response());
    if (how === "cancel") {
      conversation.on("message_update", cancel);
    }
    await Promise.allSettled([next_reply(conversation), conversation.prompt(`${this.#count}`)]);
    conversation.off("message_update", cancel);
    await new Promise(setImmediate); // before that nobody can tell that the turn has failed
  }

  async #child({ inherits, turns }: Extract<Action, { op: "child" }>): Promise<void> {
    const child = this.#conversation.spawn_child(inherits);
    for (let n = 0; n < turns; n += 1) {
      await this.#turn(child, `${this.#count} child ${n}`);
    }
    child[Symbol.dispose]();
  }

  async #await_if({ is_awaited }: { is_awaited: boolean }, promise: Promise<void>): Promise<void> {
    if (is_awaited) {
      return promise;
    }
    this.#background.push(outcome_of(promise).then(anonymous));
  }

  #message_of(id: string | undefined, place: number | undefined): string | undefined {
    const messages = this.#last_seen.get(id ?? "") ?? [];
    return place === undefined ? undefined : messages[place % Math.max(1, messages.length)]?.id;
  }

  /** Ends, and tells all that is stored: every session with its history, in no order. */
  async end(): Promise<string[]> {
    await outcome_of(this.#manager[Symbol.asyncDispose]());
    const store = this.#open_store();
    const histories = new Map<string, string>();
    const drafts = new Map<string, string>();
    const entries = await store.list();
    for (const { id } of entries) {
      histories.set(id, await this.#history_of(store, id));
      drafts.set(id, draft_text((await store.load(id))?.draft));
    }
    const lines = entries.map((entry) => {
      const { id, parent_id, label, label_source, kind, message_count, detached, fork_message_count, usage, custom } =
        entry;
      const parent = parent_id === undefined ? "no parent" : (histories.get(parent_id) ?? "a parent that is gone");
      const summary = entry.checkpoint_state?.summary;
      const facts = { kind, label, label_source, message_count, detached, fork_message_count, usage, custom, summary };
      return `${JSON.stringify(facts)}: ${histories.get(id)} (of ${parent}) ${drafts.get(id)}`;
    });
    return lines.sort();
  }

  /** As a manager resolves it. */
  async #history_of(store: SessionStore, id: string): Promise<string> {
    const conversation = new PlainConversation();
    using manager = new SessionManager(store, conversation, { auto_save: false });
    const errors: string[] = [];
    manager.on("lifecycle_error", ({ error }) => errors.push(anonymous(String(error))));
    const outcome = await outcome_of(manager.load(id));
    return `${outcome === "done" ? texts_of(conversation.messages) : outcome} ${errors.join()}`;
  }
}
