import type { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { Access } from "./causality.js";
import type { Outcome } from "./disk-operation.js";
import { failure, message, short, texts_of, type Answer, type Asked, type Call, type Session } from "./history.js";
import type { Event } from "./memory.js";
import type { Operation } from "./order.js";
import type { LiveScheduler } from "./live-scheduler.js";

const SESSION = "s";

/** Somebody who uses the store, and writes down what was asked and answered. */
export class Actor {
  readonly number: number;
  readonly store: FileSessionStore;
  /** The sessions as they are when the actors begin. */
  readonly start: Map<string, Session>;
  readonly #scheduler: LiveScheduler;
  readonly #calls: Call[];

  constructor(
    number: number,
    store: FileSessionStore,
    world: { scheduler: LiveScheduler; calls: Call[]; start: Map<string, Session> },
  ) {
    this.number = number;
    this.store = store;
    this.start = world.start;
    this.#scheduler = world.scheduler;
    this.#calls = world.calls;
  }

  /** The revision that the session had when the actors began. */
  get first_revision(): string {
    return this.start.get(SESSION)?.revision ?? "none";
  }

  async append(text: string, revision = this.first_revision, id = SESSION): Promise<Answer> {
    return this.#ask(id, { kind: "append", revision, texts: [short(text)] }, async () => ({
      kind: "revision",
      ...(await this.store.append(id, [message(text)], { revision })),
    }));
  }

  /** As an application does: again with what is there by then, until it is taken. */
  async append_at_last(text: string): Promise<void> {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const session = await this.load();
      const answer = session && (await this.append(text, session.revision));
      if (answer?.kind === "revision" || session === undefined) {
        return;
      }
    }
  }

  async replace(texts: string[], revision: string | null = this.first_revision, id = SESSION): Promise<Answer> {
    return this.#ask(id, { kind: "replace", revision, texts }, async () => ({
      kind: "revision",
      ...(await this.store.replace(id, texts.map(message), { revision })),
    }));
  }

  async save(
    texts: string[],
    { id = SESSION, ...metadata }: { id?: string; parent_id?: string } = {},
  ): Promise<Answer> {
    return this.#ask(id, { kind: "save", texts }, async () => {
      await this.store.save(id, texts.map(message), metadata);
      return { kind: "done" };
    });
  }

  async update(label: string, id = SESSION): Promise<Answer> {
    return this.#ask(id, { kind: "update", label }, async () => ({
      kind: "found",
      existed: await this.store.update(id, { label }),
    }));
  }

  async delete(id = SESSION): Promise<Answer> {
    return this.#ask(id, { kind: "delete" }, async () => ({ kind: "found", existed: await this.store.delete(id) }));
  }

  async flush(id = SESSION): Promise<Answer> {
    return this.#ask(id, { kind: "flush" }, async () => {
      await this.store.flush(id);
      return { kind: "done" };
    });
  }

  async load(id = SESSION): Promise<Session | undefined> {
    const answer = await this.#ask(id, { kind: "load" }, async () => {
      const found = await this.store.load(id);
      const session = found && {
        texts: texts_of(found.messages),
        label: found.metadata.label,
        revision: found.revision,
      };
      const is_counted = found === undefined || found.metadata.message_count === found.messages.length;
      return is_counted
        ? { kind: "session", session }
        : { kind: "failed", code: "count", reason: `${found.metadata.message_count} messages are announced` };
    });
    return answer.kind === "session" ? answer.session : undefined;
  }

  /** The entry of one session in the list of all. */
  async list(id = SESSION): Promise<Answer> {
    return this.#ask(id, { kind: "list" }, async () => {
      const found = (await this.store.list()).find((entry) => entry.id === id);
      return found?.damaged === undefined
        ? { kind: "entry", entry: found && { message_count: found.message_count, label: found.label } }
        : { kind: "failed", code: "damaged", reason: found.damaged };
    });
  }

  async #ask(id: string, asked: Asked, perform: () => Promise<Answer>): Promise<Answer> {
    const call: Call = { actor: this.number, id, asked, began: 0 };
    this.#scheduler.begin_with_next(call);
    this.#calls.push(call);
    const answer = await perform().catch(failure);
    const answering = new Answering(call, { kind: "is answered", answer }, () => this.#scheduler.step);
    await this.#scheduler.ask(this.number, answering);
    return answer;
  }
}

/**
 * Which answers came before something else began is a part of the order. They come at once: who is answered later
 * may have been answered more.
 */
export class Answering implements Operation {
  readonly event: Extract<Event, { kind: "is answered" }>;
  readonly holds_turn = false;
  readonly is_immediate = true;
  readonly #call: Call;
  readonly #step: () => number;

  constructor(call: Call, event: Answering["event"], step: () => number) {
    this.event = event;
    this.#call = call;
    this.#step = step;
  }

  label(): string {
    return "is answered";
  }

  accesses(): Access[] {
    return [{ thing: `answers of ${this.#call.actor}`, writes: true }];
  }

  perform(): Outcome {
    this.#call.ended = this.#step();
    this.#call.answer = this.event.answer;
    return { seen: "" };
  }
}
