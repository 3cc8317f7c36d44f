import type { Message } from "@simulacra-ai/core";
import { InMemorySessionStore, SessionError, type SessionMetadata, type StoredSession } from "@simulacra-ai/session";
import type { ConformanceOptions } from "@simulacra-ai/session/conformance";
import { of, type AppendOptions, type Metadata, type ReplaceOptions } from "./broken-stores.js";

type Revision = { revision: string };

const next_turn = () => new Promise((resolve) => setImmediate(resolve));

/** What it is given last stays the caller's object. */
class KeepsTheCallers extends InMemorySessionStore {
  #kept: { revision: string; from: number; messages: Message[]; custom: object | undefined } | undefined;

  async #keep(id: string, messages: Message[], metadata: Metadata = {}): Promise<Revision> {
    const { revision = "", messages: all } = (await super.load(id)) as StoredSession;
    this.#kept = { revision, from: all.length - messages.length, messages, custom: metadata.custom };
    return { revision };
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    const kept = this.#kept;
    if (session !== undefined && kept !== undefined && session.revision === kept.revision) {
      const { from, messages, custom } = kept;
      session.messages.splice(from, Infinity, ...structuredClone(messages));
      Object.assign(session.metadata, custom && { custom: structuredClone(custom) });
    }
    return session;
  }

  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    await super.append(id, messages, options);
    return this.#keep(id, messages, options.metadata);
  }

  override async replace(id: string, messages: Message[], options: ReplaceOptions): Promise<Revision> {
    await super.replace(id, messages, options);
    return this.#keep(id, messages, options.metadata);
  }

  override async update(id: string, metadata: Metadata): Promise<boolean> {
    const is_there = await super.update(id, metadata);
    await (is_there && this.#keep(id, [], metadata));
    return is_there;
  }
}

/** Changes what every way beside `save` is given, before it is merged. */
abstract class ChangesMetadata extends InMemorySessionStore {
  abstract changed(metadata: Metadata, id: string): Promise<Metadata>;

  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    return super.append(id, messages, { ...options, metadata: await this.changed(options.metadata ?? {}, id) });
  }

  override async replace(id: string, messages: Message[], options: ReplaceOptions): Promise<Revision> {
    return super.replace(id, messages, { ...options, metadata: await this.changed(options.metadata ?? {}, id) });
  }

  override async update(id: string, metadata: Metadata): Promise<boolean> {
    return super.update(id, await this.changed(metadata, id));
  }
}

class DropsWhatItDoesNotKnow extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    return { custom: null, unheard_of: null, ...metadata } as Metadata;
  }
}

class KeepsTheDate extends ChangesMetadata {
  async changed(metadata: Metadata, id: string): Promise<Metadata> {
    const { updated_at } = (await this.load(id))?.metadata ?? {};
    return { ...(updated_at !== undefined && { updated_at }), ...metadata };
  }
}

class IgnoresNull extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    return Object.fromEntries(Object.entries(metadata as object).filter(([, value]) => value !== null));
  }
}

class TakesEveryLabelForAUsers extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    return { ...metadata, ...(metadata.label !== undefined && { label_source: "user" as const }) };
  }
}

class ChangesTheKind extends ChangesMetadata {
  readonly #kinds = new Map<string, SessionMetadata["kind"]>();

  async changed(metadata: Metadata, id: string): Promise<Metadata> {
    this.#kinds.set(id, metadata.kind);
    return metadata;
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    const kind = this.#kinds.get(id);
    return session && kind ? { ...session, metadata: { ...session.metadata, kind } } : session;
  }
}

class AppendsOneByOne extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    let done = await super.append(id, [], options);
    for (const message of messages) {
      done = await super.append(id, [message], done);
    }
    return done;
  }
}

class ReplacesInTwoSteps extends InMemorySessionStore {
  override async replace(id: string, messages: Message[], options: ReplaceOptions): Promise<Revision> {
    const { revision } = await super.replace(id, [], options);
    return super.replace(id, messages, { revision });
  }
}

class AppendsNothingAnywhere extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    const { revision = options.revision } = (messages.length === 0 && (await this.load(id))) || {};
    return super.append(id, messages, { ...options, revision });
  }
}

/** Reads all of a session, waits, and writes all of it: an append between the two is gone. */
class UpdatesWhatItRead extends InMemorySessionStore {
  readonly #revisions = new Map<string, string>();

  override async update(id: string, metadata: Metadata): Promise<boolean> {
    const session = await this.load(id);
    await next_turn();
    await (session && super.save(id, session.messages, metadata));
    this.#revisions.set((await super.load(id))?.revision ?? "", session?.revision ?? "");
    return session !== undefined;
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    return session && { ...session, revision: this.#revisions.get(session.revision ?? "") ?? session.revision ?? "" };
  }

  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    const session = await super.load(id);
    const is_same = session !== undefined && this.#revisions.get(session.revision ?? "") === options.revision;
    return super.append(id, messages, { ...options, ...(is_same && { revision: session.revision ?? "" }) });
  }
}

/** What was deleted while it waited is there again. */
class BringsBack extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    const before = await this.load(id);
    await next_turn();
    if (before !== undefined && (await this.load(id)) === undefined) {
      await super.save(id, before.messages, before.metadata);
      throw new SessionError("not_found", "it was deleted meanwhile");
    }
    return super.append(id, messages, options);
  }

  override async update(id: string, metadata: Metadata): Promise<boolean> {
    const before = await this.load(id);
    await next_turn();
    await (before && super.save(id, before.messages, { ...before.metadata, ...metadata }));
    return before !== undefined;
  }
}

class SavesInTwoSteps extends InMemorySessionStore {
  override async save(id: string, messages: Message[], metadata: Metadata = {}): Promise<void> {
    const { label } = (await this.load(id))?.metadata ?? {};
    await super.save(id, messages, { ...metadata, ...(label !== undefined && { label }) });
    await next_turn();
    await super.save(id, messages, metadata);
  }
}

class ListsItsOwn extends InMemorySessionStore {
  readonly #entries = new Map<string, SessionMetadata>();

  override async list(): Promise<SessionMetadata[]> {
    const own = (entry: SessionMetadata) => {
      const name = `${entry.id} ${entry.updated_at}`;
      this.#entries.set(name, this.#entries.get(name) ?? entry);
      return this.#entries.get(name) as SessionMetadata;
    };
    return (await super.list()).map(own);
  }
}

class UpdatesWithoutDraft extends InMemorySessionStore {
  override async update(id: string, metadata: Metadata): Promise<boolean> {
    await this.set_draft(id, undefined);
    return super.update(id, metadata);
  }
}

/** A draft is hidden as long as its message is there, and never removed. */
class HidesDrafts extends InMemorySessionStore {
  readonly #drafts = new Map<string, StoredSession["draft"]>();

  override async set_draft(id: string, draft: StoredSession["draft"]): Promise<void> {
    await super.set_draft(id, draft);
    this.#drafts.set(id, draft);
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    const draft = this.#drafts.get(id);
    const is_void = session?.messages.some((message) => message.id === draft?.prompt.id) === true;
    return session && draft && !is_void ? { ...session, draft } : session;
  }
}

const by_all = (name: (way: string) => string, what: string, options: ConformanceOptions) =>
  ["append", "replace", "update"].map((way) => [name(way), what, options] as const);

/** Stores whose fault one case alone has to notice, by the name of that case. */
export const SUBTLY_BROKEN_STORES: readonly (readonly [name: string, what: string, options: ConformanceOptions])[] = [
  ...by_all((way) => `what is handed to ${way} can be changed afterwards`, "keeps what is given", of(KeepsTheCallers)),
  ...by_all(
    (way) => `${way} keeps what it is not given, keys that nobody knows too`,
    "drops what it does not know",
    of(DropsWhatItDoesNotKnow),
  ),
  ...by_all((way) => `${way} sets updated_at to now, where it is given no other`, "keeps the date", of(KeepsTheDate)),
  ...by_all((way) => `${way}: undefined changes nothing, null removes a key`, "ignores null", of(IgnoresNull)),
  ...by_all(
    (way) => `${way}: an auto label never replaces a user's, and kind is written once`,
    "takes every label for a user's",
    of(TakesEveryLabelForAUsers),
  ),
  ...by_all(
    (way) => `${way}: an auto label never replaces a user's, and kind is written once`,
    "changes the kind",
    of(ChangesTheKind),
  ),
  [
    "append of what JSON cannot hold is refused, and the session stays as it was",
    "appends one by one",
    of(AppendsOneByOne),
  ],
  [
    "replace of what JSON cannot hold is refused, and the session stays as it was",
    "replaces in two steps",
    of(ReplacesInTwoSteps),
  ],
  [
    "of nothing at an old revision rejects with conflict, and changes nothing",
    "appends nothing anywhere",
    of(AppendsNothingAnywhere),
  ],
  ["appends beside updates: nothing acknowledged is lost", "writes what it read", of(UpdatesWhatItRead)],
  [
    "appends beside updates through another instance: nothing acknowledged is lost",
    "writes what it read",
    of(UpdatesWhatItRead),
  ],
  ["an append beside a delete leaves the session deleted", "brings back what was deleted", of(BringsBack)],
  [
    "an append beside a delete through another instance leaves the session deleted",
    "brings back what was deleted",
    of(BringsBack),
  ],
  ["an update beside a delete leaves the session deleted", "brings back what was deleted", of(BringsBack)],
  ["who reads beside saves finds messages and metadata of one of them", "saves in two steps", of(SavesInTwoSteps)],
  ["what is handed out can be changed", "lists its own objects", of(ListsItsOwn)],
  ["an update leaves the draft alone", "drops a draft with an update", of(UpdatesWithoutDraft)],
  ["a draft that its turn made void stays so when the turn is taken back", "only hides a draft", of(HidesDrafts)],
  [
    "a draft that came behind its turn does not appear when the turn is taken back",
    "only hides a draft",
    of(HidesDrafts),
  ],
];
