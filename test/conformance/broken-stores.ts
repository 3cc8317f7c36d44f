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

export type Metadata = Partial<SessionMetadata>;
export type AppendOptions = { revision: string; metadata?: Metadata };
export type ReplaceOptions = { revision: string | null; metadata?: Metadata };

class DeletesNothing extends InMemorySessionStore {
  override async delete(id: string): Promise<boolean> {
    return (await this.load(id)) !== undefined;
  }
}

class StoresNull extends InMemorySessionStore {
  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    return session && { ...session, metadata: { model: null, ...session.metadata } as never };
  }
}

class OldestFirst extends InMemorySessionStore {
  override async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return (await super.list(query)).reverse();
  }
}

class OneTooMany extends InMemorySessionStore {
  override async list(query: SessionQuery = {}): Promise<SessionMetadata[]> {
    return super.list({ ...query, ...(query.limit !== undefined && { limit: query.limit + 1 }) });
  }
}

class PagesFromTheStart extends InMemorySessionStore {
  override async list({ before: _before, ...query }: SessionQuery = {}): Promise<SessionMetadata[]> {
    return super.list(query);
  }
}

class RepeatsTheLast extends InMemorySessionStore {
  override async list({ before, limit, ...query }: SessionQuery = {}): Promise<SessionMetadata[]> {
    const all = await super.list(query);
    const from = before === undefined ? 0 : all.findIndex(({ id }) => id === before.id);
    return all.slice(from).slice(0, limit);
  }
}

class HandsOutItsOwn extends InMemorySessionStore {
  readonly #handed_out = new Map<string, StoredSession>();

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    const known = this.#handed_out.get(id);
    if (session === undefined || known?.revision === session.revision) {
      return session && known;
    }
    this.#handed_out.set(id, session);
    return session;
  }
}

class ForgetsLineage extends InMemorySessionStore {
  override save(id: string, messages: Message[], metadata: Metadata = {}): Promise<void> {
    const { fork_message_count: _count, ...rest } = metadata;
    return super.save(id, messages, rest);
  }
}

class NeverConflicts extends InMemorySessionStore {
  override async replace(id: string, messages: Message[], options: ReplaceOptions): Promise<{ revision: string }> {
    const { revision = null } = (await this.load(id)) ?? {};
    if (revision === null && options.revision !== null) {
      throw new SessionError("not_found", `session not found: ${id}`);
    }
    return super.replace(id, messages, { ...options, revision });
  }
}

class AppendsInFront extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options: AppendOptions): Promise<{ revision: string }> {
    const { messages: stored = [] } = (await this.load(id)) ?? {};
    return super.replace(id, [...messages, ...stored], options);
  }
}

class UpdatesNothingElse extends InMemorySessionStore {
  override async update(id: string, metadata: Metadata): Promise<boolean> {
    const session = await this.load(id);
    if (session !== undefined) {
      await super.save(id, session.messages, { provider: null, ...metadata } as Metadata);
    }
    return session !== undefined;
  }
}

/** Looks, waits, and writes: whoever looks meanwhile sees the same. */
class LooksThenWrites extends InMemorySessionStore {
  override async append(id: string, messages: Message[], options: AppendOptions): Promise<{ revision: string }> {
    const session = await this.load(id);
    if (session === undefined || session.revision !== options.revision) {
      throw new SessionError(session ? "conflict" : "not_found", "moved");
    }
    await new Promise((resolve) => setImmediate(resolve));
    await super.save(id, [...session.messages, ...messages], options.metadata);
    return { revision: (await this.load(id))?.revision ?? "" };
  }
}

class ForgetsDrafts extends InMemorySessionStore {
  override async save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    await super.save(id, messages, metadata);
    await super.set_draft(id, undefined);
  }
}

class TakesNull extends InMemorySessionStore {
  override save(id: string, messages: Message[], metadata?: Metadata): Promise<void> {
    return super.save(id, messages.filter(Boolean), metadata);
  }
}

/** The first call takes a moment, and the ones after it do not wait for that. */
class StartsOnce extends InMemorySessionStore {
  #state: "new" | "starting" | "ready" = "new";

  override async load(id: string): Promise<StoredSession | undefined> {
    if (this.#state === "starting") {
      throw new Error("not ready yet");
    }
    if (this.#state === "new") {
      this.#state = "starting";
      await new Promise((resolve) => setImmediate(resolve));
      this.#state = "ready";
    }
    return super.load(id);
  }
}

/** All of its methods at one distance: what a subclass changes does not hide what else there is. */
function flat(store: InMemorySessionStore & Pick<SessionStore, "flush">): SessionStore {
  return {
    list: (query) => store.list(query),
    load: (id) => store.load(id),
    save: (id, messages, metadata) => store.save(id, messages, metadata),
    delete: (id) => store.delete(id),
    append: (id, messages, options) => store.append(id, messages, options),
    replace: (id, messages, options) => store.replace(id, messages, options),
    update: (id, metadata) => store.update(id, metadata),
    set_draft: (id, draft) => store.set_draft(id, draft),
    ...(store.flush && { flush: (id?: string) => store.flush?.(id) ?? Promise.resolve() }),
  };
}

export function of(make: new () => InMemorySessionStore): ConformanceOptions {
  let store = flat(new make());
  return { open: () => (store = flat(new make())), reopen: () => store, open_second: () => store };
}

/** Stores that break one promise each, by the group that has to notice. */
export const BROKEN_STORES: readonly [group: string, what: string, options: ConformanceOptions][] = [
  ["basics", "deletes nothing", of(DeletesNothing)],
  ["metadata merge", "stores null", of(StoresNull)],
  ["listing", "lists the oldest first", of(OldestFirst)],
  ["listing", "lists one more than asked for", of(OneTooMany)],
  ["listing", "lists the same page for ever", of(PagesFromTheStart)],
  ["listing", "begins a page with the last of the page before", of(RepeatsTheLast)],
  ["isolation", "hands out its own objects", of(HandsOutItsOwn)],
  ["bad input", "leaves out what is no message", of(TakesNull)],
  ["order of calls", "is not ready for a second call", of(StartsOnce)],
  ["lineage", "forgets how much a fork inherits", of(ForgetsLineage)],
  ["revisions and conflicts", "replaces at any revision", of(NeverConflicts)],
  ["append", "appends in front", of(AppendsInFront)],
  ["update", "forgets what it is not given", of(UpdatesNothingElse)],
  ["concurrency", "looks before it writes", of(LooksThenWrites)],
  ["durability", "keeps nothing", { ...of(InMemorySessionStore), reopen: () => new InMemorySessionStore() }],
  ["drafts", "drops a draft with any save", of(ForgetsDrafts)],
  [
    "kills",
    "acknowledges before it stores",
    {
      ...of(InMemorySessionStore),
      kills: {
        module: new URL("hasty-store-module.ts", import.meta.url).href,
        rounds: 2,
        node_options: ["--import", "tsx"],
      },
    },
  ],
];

/** Breaks none. */
export const WHOLE_STORE = of(InMemorySessionStore);
