import type { Message } from "@simulacra-ai/core";
import { FileSessionStore, type FileSessionStoreOptions } from "../../../src/stores/file/file-session-store.js";
import type { SessionDraft, SessionMetadata, SessionQuery, SessionRevision, SessionStore } from "../../../src/types.js";
import { content_of, draft_beside, find_session, messages_in, ROOT } from "./contents.js";
import type { Change } from "./logged-disk.js";
import type { RecordingLayer } from "./recording-layer.js";

/** A store that notes in the layer's log what it is asked for, and when it has acknowledged it. */
export class TracingStore implements SessionStore {
  readonly layer: RecordingLayer;
  readonly #store: FileSessionStore;

  constructor(layer: RecordingLayer, options: FileSessionStoreOptions) {
    this.layer = layer;
    this.#store = new FileSessionStore(ROOT, options, layer);
  }

  list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return this.#store.list(query);
  }

  load(id: string) {
    return this.#store.load(id);
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    await this.#trace("save", id, () => this.#store.save(id, messages, metadata));
    await this.#require(id, JSON.stringify(messages));
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const result = await this.#trace("replace", id, () => this.#store.replace(id, messages, options));
    await this.#require(id, JSON.stringify(messages));
    return result;
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const before = messages_in(await content_of(this.layer, id));
    const result = await this.#trace("append", id, () => this.#store.append(id, messages, options));
    await this.#require(id, JSON.stringify([...before, ...messages]));
    return result;
  }

  update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    return this.#trace("update", id, () => this.#store.update(id, metadata));
  }

  async delete(id: string): Promise<boolean> {
    const result = await this.#trace("delete", id, () => this.#store.delete(id));
    await this.#require(id, "[]");
    return result;
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    const text = draft && JSON.stringify(draft);
    await this.#trace("set_draft", id, () => this.#store.set_draft(id, draft), { draft: { id, text } });
    const { content, draft: found } = await find_session(this.layer, id);
    if (found !== draft_beside(content, text)) {
      throw new Error(`acknowledged ${String(text).slice(0, 300)}, stored ${String(found).slice(0, 300)}`);
    }
  }

  async flush(id?: string): Promise<void> {
    return id === undefined ? this.#store.flush() : this.#trace("flush", id, () => this.#store.flush(id));
  }

  repair(id: string) {
    return this.#trace("repair", id, () => this.#store.repair(id));
  }

  async #trace<T>(name: string, id: string, act: () => Promise<T>, { draft }: Pick<Change, "draft"> = {}): Promise<T> {
    const change: Change = { name, is_traced: true, after: new Map(), draft };
    const { log } = this.layer;
    log.push({ kind: "begin", label: `begin ${name}`, change });
    try {
      return await act();
    } catch (error) {
      change.draft = undefined;
      throw error;
    } finally {
      log.push({ kind: "end", label: `end of ${name}`, change });
      if (name !== "set_draft") {
        change.after.set(id, await content_of(this.layer, id));
      }
    }
  }

  /** What is acknowledged is what was asked for: everything else here compares with what was stored. */
  async #require(id: string, messages: string): Promise<void> {
    const found = await content_of(this.layer, id);
    if (JSON.stringify(messages_in(found)) !== messages) {
      throw new Error(`acknowledged ${messages.slice(0, 300)}, stored ${found.slice(0, 300)}`);
    }
  }
}
