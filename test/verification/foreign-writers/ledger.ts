import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileLayer } from "../../../src/stores/file/fs/file-layer.js";
import type { SessionMetadata, StoredSession } from "../../../src/types.js";

/**
 * What has to be found in a directory that several programs write to. Each message has a text of its own. One that
 * either side was told is stored is owed until somebody removes it knowingly: who rewrites a file removes what that
 * file held and holds no longer, who replaces a session removes what it showed, who deletes it removes all of it.
 * What is owed is in a session of the directory, or in a file that `verify()` names.
 */
export class Ledger {
  readonly #root: string;
  readonly #layer: FileLayer;
  readonly #owed = new Set<string>();
  readonly #histories = new Map<string, string>();

  constructor(root: string, layer: FileLayer) {
    this.#root = root;
    this.#layer = layer;
  }

  owe(texts: readonly string[]): void {
    texts.forEach((text) => this.#owed.add(text));
  }

  /** They were removed by somebody who knew of them. */
  remove(texts: readonly string[], kept: readonly string[] = []): void {
    texts.filter((text) => !kept.includes(text)).forEach((text) => this.#owed.delete(text));
  }

  /** Everything in this file is removed by whoever removes the file. */
  remove_file(path: string): void {
    if (fs.existsSync(path)) {
      const bytes = fs.readFileSync(path, "utf8");
      this.remove([...this.#owed].filter((text) => bytes.includes(text)));
    }
  }

  /** A session as a process finds it that has just begun. A revision belongs to one history for ever. */
  async view(id: string): Promise<StoredSession | undefined> {
    const session = await new FileSessionStore(this.#root, {}, this.#layer).load(id);
    if (session !== undefined) {
      const history = JSON.stringify(session.messages);
      const key = `${id} ${session.revision}`;
      if ((this.#histories.get(key) ?? history) !== history) {
        throw new Error(`session ${id} was changed, and its revision was not`);
      }
      this.#histories.set(key, history);
    }
    return session;
  }

  /** The history that a revision was handed out for. */
  history_of(id: string, revision: string): string | undefined {
    return this.#histories.get(`${id} ${revision}`);
  }

  /** Compares what a list and a load say. A list believes the number of messages that another program has noted. */
  is_same(id: string, listed: SessionMetadata | undefined, loaded: SessionMetadata | undefined): boolean {
    const path = join(this.#root, `${id}.meta.json`);
    const is_theirs = fs.existsSync(path) && !fs.readFileSync(path, "utf8").includes(',\n"store":');
    const text = (metadata = {}) => JSON.stringify({ ...metadata, ...(is_theirs && { message_count: 0 }) });
    return text(listed) === text(loaded);
  }

  /** What is owed and not there, and what else is wrong. */
  async check(): Promise<string[]> {
    const store = new FileSessionStore(this.#root, {}, this.#layer);
    const problems = await store.verify();
    const wrong = problems
      .filter(({ code }) => /^(corrupt|torn_journal|leftover|orphaned_messages)$/.test(code))
      .map(({ code, message }) => `verify finds ${code}: ${message}`);
    const places: string[] = [];
    for (const { path } of problems) {
      if (fs.existsSync(path) && fs.statSync(path).isFile()) {
        places.push(fs.readFileSync(path, "utf8"));
      }
    }
    for (const entry of await store.list()) {
      const session = await this.view(entry.id);
      places.push(JSON.stringify(session?.messages));
      if (!this.is_same(entry.id, entry, session?.metadata)) {
        wrong.push(`${entry.id} is listed as ${JSON.stringify(entry)} and is ${JSON.stringify(session?.metadata)}`);
      }
    }
    const everything = places.join("\n");
    const missing = [...this.#owed].filter((text) => !everything.includes(text));
    return missing.length === 0 ? wrong : [...wrong, `lost: ${missing.join()}`];
  }
}
