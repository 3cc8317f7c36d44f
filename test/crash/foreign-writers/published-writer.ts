import fs from "node:fs";
import { join } from "node:path";
import type { Message } from "@simulacra-ai/core";

/** A session as a program sees it that knows nothing of journals, locks or the `store` key. */
export interface PublishedSession {
  metadata: Record<string, unknown> & { parent_id?: string };
  messages: Message[];
}

/**
 * Another program in the directory, which does as the published package does: it reads the whole file and rewrites it
 * in place, pretty-printed, with the keys that it knows. A whole operation is one step; what it read may be old when it
 * writes.
 */
export class PublishedWriter {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  #path(id: string): string {
    return join(this.#root, `${id}.json`);
  }

  load(id: string): PublishedSession | undefined {
    if (!fs.existsSync(this.#path(id))) {
      return undefined;
    }
    const { metadata, messages } = JSON.parse(fs.readFileSync(this.#path(id), "utf8")) as PublishedSession;
    return { metadata, messages };
  }

  save(id: string, messages: Message[], metadata: PublishedSession["metadata"]): void {
    const updated_at = new Date().toISOString();
    const all = { created_at: updated_at, ...metadata, id, updated_at, message_count: messages.length };
    fs.writeFileSync(this.#path(id), JSON.stringify({ metadata: all, messages }, null, 2));
    if (metadata.parent_id !== undefined) {
      this.#link(id, metadata.parent_id);
    }
  }

  delete(id: string): void {
    const parent_id = this.load(id)?.metadata.parent_id;
    fs.rmSync(this.#path(id), { force: true });
    if (parent_id !== undefined) {
      fs.rmSync(join(this.#root, `${parent_id}-forks`, `${id}.json`), { force: true });
    }
  }

  #link(id: string, parent_id: string): void {
    const folder = join(this.#root, `${parent_id}-forks`);
    fs.mkdirSync(folder, { recursive: true });
    const link = join(folder, `${id}.json`);
    if (!fs.existsSync(link)) {
      fs.linkSync(this.#path(id), link);
    }
  }
}
