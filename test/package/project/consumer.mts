import type { Conversation, Message } from "@simulacra-ai/core";
import {
  FileSessionStore,
  InMemorySessionStore,
  SessionError,
  SessionManager,
  type SessionMetadata,
  type SessionStore,
  type StoredSession,
} from "@simulacra-ai/session";

class OwnStore implements SessionStore {
  readonly #inner: SessionStore = new InMemorySessionStore();

  async list(): Promise<SessionMetadata[]> {
    return this.#inner.list();
  }

  async load(id: string): Promise<StoredSession | undefined> {
    return this.#inner.load(id);
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    return this.#inner.save(id, messages, metadata);
  }

  async delete(id: string): Promise<boolean> {
    return this.#inner.delete(id);
  }
}

export async function run(conversation: Conversation, show: (...values: unknown[]) => void): Promise<void> {
  for (const store of [new OwnStore(), new FileSessionStore("sessions", { durable: false })]) {
    await using manager = new SessionManager(store, conversation, { auto_save: true, auto_slug: false });
    manager
      .on("save", ({ id, messages }) => show(id, messages[0]?.content[0]?.text.trim()))
      .on("lifecycle_error", ({ error, operation }) => {
        if (error instanceof SessionError && error.code === "conflict") show(operation, error.session_id);
      });
    await manager.load();
    await conversation.prompt("hello");
    // @ts-expect-error a session is known by a string
    await manager.load(1);
    // @ts-expect-error the engine's types are not `any`
    await conversation.prompt(1);
  }
}
