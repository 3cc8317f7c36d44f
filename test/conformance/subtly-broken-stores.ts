import type { Message } from "@simulacra-ai/core";
import {
  InMemorySessionStore,
  SessionError,
  type SessionMetadata,
  type SessionQuery,
  type SessionStore,
  type StoredSession,
} from "@simulacra-ai/session";
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

  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    await super.save(id, messages, metadata);
    await this.#keep(id, messages, metadata);
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

/** Changes what every way is given, before it is merged. */
abstract class ChangesMetadata extends InMemorySessionStore {
  abstract changed(metadata: Metadata, id: string): Promise<Metadata>;

  override async save(id: string, messages: Message[], metadata: Metadata = {}): Promise<void> {
    return super.save(id, messages, await this.changed(metadata, id));
  }

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

class MergesDeep extends ChangesMetadata {
  async changed(metadata: Metadata, id: string): Promise<Metadata> {
    const { custom } = (await this.load(id))?.metadata ?? {};
    return { ...metadata, ...(metadata.custom && { custom: { ...custom, ...metadata.custom } }) };
  }
}

class StoresDamaged extends ChangesMetadata {
  readonly #damaged = new Map<string, string | undefined>();

  async changed(metadata: Metadata, id: string): Promise<Metadata> {
    this.#damaged.set(id, metadata.damaged);
    return metadata;
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    const damaged = this.#damaged.get(id);
    return session && damaged ? { ...session, metadata: { ...session.metadata, damaged } } : session;
  }
}

class AssignsKeys extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    return assigned(metadata);
  }
}

/** A copy without a key `__proto__`, which is the prototype here. */
function assigned<T extends object>(value: T): T {
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    copy[key] = item;
  }
  return copy as T;
}

class TakesItLater extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    await next_turn();
    return metadata;
  }
}

class MarksTheCallers extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    return Object.assign(metadata, { model: "m" });
  }
}

class StoresUtf8 extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    return { ...metadata, ...(metadata.label !== undefined && { label: Buffer.from(metadata.label).toString() }) };
  }
}

class TakesAnyMetadata extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    return typeof metadata === "object" && !Array.isArray(metadata) ? metadata : {};
  }
}

class NamesFunctions extends ChangesMetadata {
  async changed(metadata: Metadata): Promise<Metadata> {
    const named = Object.entries(metadata).map(([key, value]: [string, unknown]) => [
      key,
      typeof value === "function" ? value.name : value,
    ]);
    return Object.fromEntries(named) as Metadata;
  }
}

/** Changes the messages that every way is given. */
abstract class ChangesMessages extends InMemorySessionStore {
  abstract changed(messages: Message[]): Message[];

  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    return super.save(id, this.changed(messages), metadata);
  }

  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    return super.append(id, this.changed(messages), options);
  }

  override async replace(id: string, messages: Message[], options: ReplaceOptions): Promise<Revision> {
    return super.replace(id, this.changed(messages), options);
  }
}

class LeavesOutWhatIsNone extends ChangesMessages {
  changed(messages: Message[]): Message[] {
    return Array.isArray(messages) ? messages.filter((one) => typeof one === "object" && one !== null) : [];
  }
}

class AssignsMessages extends ChangesMessages {
  changed(messages: Message[]): Message[] {
    return messages.map(assigned);
  }
}

class CutsLongTexts extends ChangesMessages {
  changed(messages: Message[]): Message[] {
    return JSON.parse(
      JSON.stringify(messages, (_key, value: unknown) => (typeof value === "string" ? value.slice(0, 2 ** 20) : value)),
    ) as Message[];
  }
}

/** What is nested deeply is stored nowhere, and nobody is told. */
class LosesDepth extends InMemorySessionStore {
  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    const is_deep = JSON.stringify([messages, metadata]).includes('{"a":'.repeat(1000));
    await (is_deep ? undefined : super.save(id, messages, metadata));
  }
}

class KeepsItsResult extends InMemorySessionStore {
  #last: Revision | undefined;

  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    this.#last = await super.append(id, messages, options);
    return this.#last;
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    return session && { ...session, ...this.#last };
  }
}

class TrimsIds extends InMemorySessionStore {
  override save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    return super.save(id.trim(), messages, metadata);
  }

  override load(id: string): Promise<StoredSession | undefined> {
    return super.load(id.trim());
  }
}

class TakesAnyId extends InMemorySessionStore {
  override save(id: unknown, messages: Message[], metadata?: Metadata): Promise<void> {
    return super.save(String(id) || "none", messages, metadata);
  }
}

class SavesNothingFirst extends InMemorySessionStore {
  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    await super.save(id, []);
    await super.save(id, messages, metadata);
  }
}

class AppendsAnywhereWithoutOptions extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options?: AppendOptions): Promise<Revision> {
    const { revision = "" } = (await this.load(id)) ?? {};
    return super.append(id, messages, options ?? { revision });
  }
}

class TakesAnyLimit extends InMemorySessionStore {
  override async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    const { limit } = query ?? {};
    const is_count = Number.isSafeInteger(limit) && Number(limit) >= 0;
    return super.list({ ...query, ...(limit !== undefined && !is_count && { limit: 0 }) });
  }
}

class SavesEverySecondLater extends InMemorySessionStore {
  #saves = 0;

  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    this.#saves += 1;
    await (this.#saves % 2 === 1 && next_turn());
    return super.save(id, messages, metadata);
  }
}

class DeletesLater extends InMemorySessionStore {
  override async delete(id: string): Promise<boolean> {
    await next_turn();
    return super.delete(id);
  }
}

class SavesLater extends InMemorySessionStore {
  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    await next_turn();
    return super.save(id, messages, metadata);
  }
}

/** Who waits behind a failed save fails as well. */
class FailsForEver extends InMemorySessionStore {
  #last: Promise<void> = Promise.resolve();

  override save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    this.#last = this.#last.then(() => super.save(id, messages, metadata));
    return this.#last;
  }
}

class LooksThenDeletes extends InMemorySessionStore {
  override async delete(id: string): Promise<boolean> {
    const was_there = (await this.load(id)) !== undefined;
    await next_turn();
    await super.delete(id);
    return was_there;
  }
}

/** A session is not listed while it is written. */
class ListsWhatRests extends InMemorySessionStore {
  readonly #busy = new Set<string>();

  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    this.#busy.add(id);
    await next_turn();
    this.#busy.delete(id);
    return super.append(id, messages, options);
  }

  override async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return (await super.list(query)).filter(({ id }) => !this.#busy.has(id));
  }
}

/** Nothing is as good as the newest revision. */
class TakesNoRevision extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    const { revision = "" } = (await this.load(id)) ?? {};
    return super.append(id, messages, { ...options, revision: options.revision || revision });
  }
}

/** A revision that says how many messages there are, and not which. */
class CountsForARevision extends InMemorySessionStore {
  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    return session && { ...session, revision: String(session.messages.length) };
  }

  async #at(id: string, revision: string | null): Promise<string | null> {
    const session = await super.load(id);
    return session && revision === String(session.messages.length) ? (session.revision ?? null) : revision;
  }

  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    await super.append(id, messages, { ...options, revision: (await this.#at(id, options.revision)) ?? "" });
    return { revision: (await this.load(id))?.revision ?? "" };
  }

  override async replace(id: string, messages: Message[], options: ReplaceOptions): Promise<Revision> {
    await super.replace(id, messages, { ...options, revision: await this.#at(id, options.revision) });
    return { revision: (await this.load(id))?.revision ?? "" };
  }
}

class MovesForNothing extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options: AppendOptions): Promise<Revision> {
    const next = await super.append(id, messages, options);
    const { messages: all = [] } = (messages.length === 0 && (await this.load(id))) || {};
    return messages.length === 0 ? super.replace(id, all, next) : next;
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
    const { model } = (await this.load(id))?.metadata ?? {};
    await super.save(id, messages, { ...metadata, ...(model !== undefined && { model }) });
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

class FlushesDrafts extends InMemorySessionStore {
  async flush(id?: string): Promise<void> {
    await (id !== undefined && this.set_draft(id, undefined));
  }
}

class KeepsEveryDraft extends InMemorySessionStore {
  readonly #drafts = new Map<string, StoredSession["draft"]>();

  override async set_draft(id: string, draft: StoredSession["draft"]): Promise<void> {
    await super.set_draft(id, draft);
    this.#drafts.set(id, draft);
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    const draft = this.#drafts.get(id);
    return session && draft ? { ...session, draft } : session;
  }
}

/** A prompt that was a message once is never a draft again. */
class RemembersPrompts extends InMemorySessionStore {
  readonly #stored = new Set<string | undefined>();

  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    messages.forEach((one) => this.#stored.add(one.id));
    return super.save(id, messages, metadata);
  }

  override async set_draft(id: string, draft: StoredSession["draft"]): Promise<void> {
    await (draft && this.#stored.has(draft.prompt.id) ? undefined : super.set_draft(id, draft));
  }
}

class TakesAnyDraft extends InMemorySessionStore {
  override async set_draft(id: string, draft: StoredSession["draft"]): Promise<void> {
    await (draft?.prompt?.id === undefined ? undefined : super.set_draft(id, draft));
  }
}

/** Opened again, it reads what UTF-8 holds of a label. */
function reads_utf8(): ConformanceOptions {
  let store = new InMemorySessionStore();
  const reopen = (): SessionStore => {
    const kept = store;
    const load = async (id: string) => {
      const session = await kept.load(id);
      const { label = "" } = session?.metadata ?? {};
      return session && { ...session, metadata: { ...session.metadata, label: Buffer.from(label).toString() } };
    };
    return Object.assign(new InMemorySessionStore(), { load });
  };
  return { open: () => (store = new InMemorySessionStore()), reopen };
}

const by_all = (name: (way: string) => string, what: string, options: ConformanceOptions) =>
  ["save", "append", "replace", "update"].map((way) => [name(way), what, options] as const);

const by_messages = (name: (way: string) => string, what: string, options: ConformanceOptions) =>
  ["save", "append", "replace"].map((way) => [name(way), what, options] as const);

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
  ...by_all(
    (way) => `${way} replaces a value as a whole, and null inside of it is a value`,
    "merges what is inside of a value",
    of(MergesDeep),
  ),
  ...by_all(
    (way) => `${way}: id and message_count are the store's own, and damaged is never stored`,
    "stores damaged",
    of(StoresDamaged),
  ),
  ...by_all((way) => `${way} keeps a key such as __proto__ as a key`, "assigns keys", of(AssignsKeys)),
  ...by_all((way) => `${way} takes what it is given as it is at the call`, "takes it later", of(TakesItLater)),
  ...by_all(
    (way) => `${way} takes frozen input, and does not change it`,
    "marks the caller's objects",
    of(MarksTheCallers),
  ),
  ...by_all((way) => `texts of every kind come back from ${way} as they were`, "stores UTF-8", of(StoresUtf8)),
  ...by_all(
    (way) => `${way} of metadata that are none is refused, and the session stays as it was`,
    "takes any metadata",
    of(TakesAnyMetadata),
  ),
  ...by_messages(
    (way) => `${way} of messages that are none is refused, and the session stays as it was`,
    "leaves out what is no message",
    of(LeavesOutWhatIsNone),
  ),
  ["generated writes in every way, judged by the in-memory store", "ignores null", of(IgnoresNull)],
  ["what is updated comes first, what is deleted is gone", "keeps the date", of(KeepsTheDate)],
  ["what append and replace return can be changed", "keeps what it returned", of(KeepsItsResult)],
  ["keys such as __proto__ are data, and change nothing else", "assigns keys of messages", of(AssignsMessages)],
  ["an id of every kind is stored under that id alone, or refused with invalid_id", "trims ids", of(TrimsIds)],
  ["a message of five megabytes, and one that is deeply nested", "cuts long texts", of(CutsLongTexts)],
  ["messages and metadata of any depth are refused, or come back", "loses what is deep", of(LosesDepth)],
  [
    "save of what JSON cannot hold is refused, and the session stays as it was",
    "saves nothing first",
    of(SavesNothingFirst),
  ],
  ["bad input creates nothing", "saves nothing first", of(SavesNothingFirst)],
  [
    "options that are missing are refused, and the session stays as it was",
    "appends anywhere without options",
    of(AppendsAnywhereWithoutOptions),
  ],
  [
    "an id that is no text, or an empty one, is refused with invalid_id, and is nobody's",
    "takes any id",
    of(TakesAnyId),
  ],
  ["what JSON leaves out is left out, and what it changes is changed", "names functions", of(NamesFunctions)],
  [
    "a limit that is no count is refused, 0 gives nothing, and a query that is null gives everything",
    "takes any limit",
    of(TakesAnyLimit),
  ],
  [
    "saves of one session, none awaited, happen in the order of the calls",
    "saves every second later",
    of(SavesEverySecondLater),
  ],
  [
    "a save behind a delete, neither awaited, is not deleted, and begins anew",
    "deletes a little later",
    of(DeletesLater),
  ],
  [
    "an update finds the session of a save before it, and none behind a delete, nothing awaited",
    "saves a little later",
    of(SavesLater),
  ],
  ["a call that is refused blocks none behind it", "fails for ever", of(FailsForEver)],
  [
    "of deletes at once one says that there was a session, through two instances too",
    "looks before it deletes",
    of(LooksThenDeletes),
  ],
  [
    "appends, updates, flushes, loads and lists of several sessions at once: nothing is lost or torn",
    "lists what rests",
    of(ListsWhatRests),
  ],
  ["of nothing keeps the revision, and merges metadata", "moves the revision for nothing", of(MovesForNothing)],
  [
    "a revision that never was, or is none, is a conflict, and changes nothing",
    "takes none for the newest",
    of(TakesNoRevision),
  ],
  [
    "generated histories: each outcome is the one to expect, and equal revisions mean equal messages",
    "counts for a revision",
    of(CountsForARevision),
  ],
  [
    "texts of every kind are there when the store is opened again, before a flush and behind it",
    "reads UTF-8",
    reads_utf8(),
  ],
  ["a flush leaves the draft alone", "drops a draft with a flush", of(FlushesDrafts)],
  [
    "a draft whose prompt the session holds is void, whichever was written first",
    "keeps every draft",
    of(KeepsEveryDraft),
  ],
  ["a draft that was void can be set again once its turn is taken back", "remembers prompts", of(RemembersPrompts)],
  ["what is no draft is refused, and the draft before stays", "takes any draft", of(TakesAnyDraft)],
  [
    "who reads beside saves of another instance finds messages and metadata of one of them",
    "saves in two steps",
    of(SavesInTwoSteps),
  ],
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
