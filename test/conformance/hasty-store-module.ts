import type { Message } from "@simulacra-ai/core";
import { FileSessionStore, type SessionMetadata } from "../../src/index.js";

/** Says that a turn is stored, and stores it a little later. */
class HastyStore extends FileSessionStore {
  override async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    const all = [...messages];
    setTimeout(() => void super.save(id, all, metadata), 150);
  }
}

export function open(place: string): FileSessionStore {
  return new HastyStore(place);
}
