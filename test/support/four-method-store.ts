import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata, SessionStore, StoredSession } from "@simulacra-ai/session";

/**
 * A store as a user of the published package writes one: the four methods, a merge of its own, plain errors, no
 * order and no query.
 */
export class FourMethodStore implements SessionStore {
  readonly #sessions = new Map<string, StoredSession>();

  async list(): Promise<SessionMetadata[]> {
    return [...this.#sessions.values()].map((session) => structuredClone(session.metadata));
  }

  async load(id: string): Promise<StoredSession | undefined> {
    const session = this.#sessions.get(id);
    return session && structuredClone(session);
  }

  async save(id: string, messages: Message[], metadata: Partial<SessionMetadata> = {}): Promise<void> {
    const now = new Date().toISOString();
    const merged = {
      created_at: now,
      ...this.#sessions.get(id)?.metadata,
      ...structuredClone(metadata),
      id,
      updated_at: metadata.updated_at ?? now,
      message_count: messages.length,
    };
    this.#sessions.set(id, { metadata: merged, messages: structuredClone(messages) });
  }

  async delete(id: string): Promise<boolean> {
    return this.#sessions.delete(id);
  }
}
