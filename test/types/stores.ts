// Stores as applications wrote them for the published package: compiled by `npm run typecheck`, never run.
import type { Message } from "@simulacra-ai/core";
import {
  FileSessionStore,
  InMemorySessionStore,
  type SessionDraft,
  type SessionKind,
  type SessionMetadata,
  type SessionQuery,
  type SessionRevision,
  type SessionStore,
  type StoredSession,
} from "@simulacra-ai/session";

interface PublishedRecord {
  metadata: SessionMetadata;
  messages: Message[];
}

/** The four published methods, with types spelled out. */
export class FourMethods implements SessionStore {
  readonly #records = new Map<string, PublishedRecord>();

  async list(): Promise<SessionMetadata[]> {
    return [...this.#records.values()].map(({ metadata }) => metadata);
  }

  async load(id: string): Promise<{ metadata: SessionMetadata; messages: Message[] } | undefined> {
    return this.#records.get(id);
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    const now = new Date().toISOString();
    const stored = this.#records.get(id)?.metadata;
    this.#records.set(id, {
      metadata: { created_at: now, ...stored, ...metadata, id, updated_at: now, message_count: messages.length },
      messages,
    });
  }

  async delete(id: string): Promise<boolean> {
    return this.#records.delete(id);
  }
}

/** The same with nothing declared: whatever the methods return fits. */
export const literal_store: SessionStore = {
  list: () => Promise.resolve([]),
  load: () => Promise.resolve(undefined),
  save: async () => {},
  delete: async (id) => id.startsWith("a"),
};

/** Counts, and hands everything on. */
export class CountingStore implements SessionStore {
  saves = 0;

  constructor(private readonly inner: SessionStore) {}

  list() {
    return this.inner.list();
  }

  load(id: string) {
    return this.inner.load(id);
  }

  save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>) {
    this.saves += 1;
    return this.inner.save(id, messages, metadata);
  }

  delete(id: string) {
    return this.inner.delete(id);
  }
}

export class SealingFileStore extends FileSessionStore {
  override async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    await super.save(id, messages.map(seal), metadata);
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    return session && { ...session, messages: session.messages.map(seal) };
  }
}

/** Fewer parameters than the base class has. */
export class SilentFileStore extends FileSessionStore {
  constructor() {
    super("sessions");
  }

  override async save(): Promise<void> {}

  override async list(): Promise<SessionMetadata[]> {
    return super.list();
  }
}

export class FailingMemoryStore extends InMemorySessionStore {
  failures = 1;

  override async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error("the disk is full");
    }
    return super.save(id, messages, metadata);
  }

  override async delete(id: string): Promise<boolean> {
    return super.delete(id);
  }
}

/** Every capability, with the types of the contract. */
export class EveryCapability extends FourMethods implements Required<SessionStore> {
  override async list(query: SessionQuery = {}): Promise<SessionMetadata[]> {
    const kinds: SessionKind[] = query.kinds ?? ["root", "fork", "child", "checkpoint"];
    const { limit, before, parent_id } = query;
    return (await super.list())
      .filter((entry) => kinds.includes(entry.kind ?? "root") && entry.parent_id === parent_id)
      .filter((entry) => before === undefined || entry.updated_at < before.updated_at || entry.id > before.id)
      .slice(0, limit);
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<{ revision: string }> {
    return this.replace(id, messages, options);
  }

  async replace(
    id: string,
    messages: Message[],
    { revision, metadata }: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    await this.save(id, messages, metadata);
    return { revision: `${revision ?? ""}+` };
  }

  async update(_id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    return metadata.label !== undefined;
  }

  async flush(_id?: string): Promise<void> {}

  async set_draft(_id: string, draft: SessionDraft | undefined): Promise<void> {
    const text: string | undefined = draft && `${draft.updated_at} ${draft.prompt.role}`;
    void text;
  }
}

export const stores: SessionStore[] = [
  new FourMethods(),
  new CountingStore(new FileSessionStore("sessions")),
  new FileSessionStore("sessions", {}),
  new FileSessionStore("sessions", { format: "json", durable: false, file_mode: 0o640, directory_mode: 0o750 }),
  new InMemorySessionStore(),
  new SealingFileStore("sessions"),
  new SilentFileStore(),
  new FailingMemoryStore(),
  new EveryCapability(),
];

/** A caller of a store it knows nothing about has to ask for every capability. */
export async function call(store: SessionStore): Promise<void> {
  await store.flush?.();
  // @ts-expect-error a store need not have it
  await store.flush();
  // @ts-expect-error a store need not have it
  await store.append("id", [], { revision: "1" });
  await store.append?.("id", [], { revision: "1", metadata: { label: "a" } });
  // @ts-expect-error the revision decides
  await store.append?.("id", [], {});
  // @ts-expect-error only `replace` makes a new session
  await store.append?.("id", [], { revision: null });
  await store.replace?.("id", [], { revision: null });
  await store.list({ limit: 1, before: { updated_at: "2026-01-01T00:00:00.000Z", id: "a" }, kinds: ["root"] });
  // @ts-expect-error there is no such kind
  await store.list({ kinds: ["branch"] });
  // @ts-expect-error it may not be there
  console.log((await store.load("id")).messages);
  const revision: string | undefined = (await store.load("id"))?.revision;
  console.log(revision);
  // @ts-expect-error metadata has no such key
  await store.save("id", [], { title: "a" });
  // @ts-expect-error roles are those of the engine
  await store.save("id", [{ role: "system", content: [] }]);
}

// @ts-expect-error `delete` is missing
export class WithoutDelete implements SessionStore {
  list = async () => [];
  load = async () => undefined;
  save = async () => {};
}

export class WrongSave extends InMemorySessionStore {
  // @ts-expect-error `save` returns nothing
  override async save(): Promise<{ revision: string }> {
    return { revision: "1" };
  }
}

export class WrongList extends FourMethods {
  // @ts-expect-error `list` returns metadata
  override async list(): Promise<string[]> {
    return [];
  }
}

// @ts-expect-error a directory is needed
new FileSessionStore();
// @ts-expect-error there is no such option
new FileSessionStore("sessions", { pretty: true });
// @ts-expect-error a mode is a number
new FileSessionStore("sessions", { file_mode: "0600" });

function seal<T>(value: T): T {
  return value;
}
