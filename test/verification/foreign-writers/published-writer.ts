import fs from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Message } from "@simulacra-ai/core";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";

/** A session as a program sees it that knows nothing of journals, locks or what is in the `store` key. */
export interface PublishedSession {
  metadata: Record<string, unknown> & { parent_id?: string };
  messages: Message[];
}

/** Of a write to two files: which one is written, and then the program dies. */
export type HalfWrite = "lines" | "metadata";

/** The file that makes a session one, and the one with its messages. */
const ENDINGS = { json: [".json", ".json"], ndjson: [".meta.json", ".ndjson"] } as const;

/**
 * Another program in the directory, which does as the published package does. In `json` the program rewrites the whole
 * file in place, pretty-printed, with the keys that the program knows. In `ndjson` the program appends lines to those
 * that are there, or rewrites all of them, and then rewrites the metadata in place, with every key that it has read,
 * our `store` among them. A whole operation is one step; what the program read may be old when the program writes.
 */
export class PublishedWriter {
  readonly format: FileSessionFormat;
  readonly #root: string;

  constructor(root: string, format: FileSessionFormat) {
    this.#root = root;
    this.format = format;
  }

  /** The files of a session, the one that makes it a session first. */
  paths(id: string): readonly [string, string] {
    const [head, data] = ENDINGS[this.format];
    return [join(this.#root, id + head), join(this.#root, id + data)];
  }

  load(id: string): PublishedSession | undefined {
    const [head, data] = this.paths(id);
    if (!fs.existsSync(head)) {
      return undefined;
    }
    const value: unknown = JSON.parse(fs.readFileSync(head, "utf8"));
    if (this.format === "json") {
      const { metadata, messages } = value as PublishedSession;
      return { metadata, messages };
    }
    const lines = fs.existsSync(data) ? fs.readFileSync(data, "utf8").split("\n").filter(Boolean) : [];
    return {
      metadata: value as PublishedSession["metadata"],
      messages: lines.map((line) => JSON.parse(line) as Message),
    };
  }

  /** `known`: the messages that were there when the program last read or wrote the session. */
  save(id: string, { metadata, messages }: PublishedSession, known: readonly Message[], half?: HalfWrite): void {
    const updated_at = new Date().toISOString();
    const all = { created_at: updated_at, ...metadata, id, updated_at, message_count: messages.length };
    const [head, data] = this.paths(id);
    if (this.format === "json") {
      fs.writeFileSync(head, JSON.stringify({ metadata: all, messages }, null, 2));
    } else {
      if (half !== "metadata") {
        const is_longer = isDeepStrictEqual(messages.slice(0, known.length), known);
        const lines = messages.slice(is_longer ? known.length : 0).map((one) => `${JSON.stringify(one)}\n`);
        fs.writeFileSync(data, lines.join(""), { flag: is_longer ? "a" : "w" });
      }
      if (half !== "lines") {
        fs.writeFileSync(head, JSON.stringify(all, null, 2));
      }
    }
    if (metadata.parent_id !== undefined) {
      this.#link(id, metadata.parent_id);
    }
  }

  delete(id: string): void {
    const parent_id = this.load(id)?.metadata.parent_id;
    this.paths(id).forEach((path) => fs.rmSync(path, { force: true }));
    if (parent_id !== undefined) {
      fs.rmSync(this.#link_path(id, parent_id), { force: true });
    }
  }

  #link_path(id: string, parent_id: string): string {
    return join(this.#root, `${parent_id}-forks`, id + ENDINGS[this.format][1]);
  }

  #link(id: string, parent_id: string): void {
    const link = this.#link_path(id, parent_id);
    fs.mkdirSync(join(link, ".."), { recursive: true });
    if (!fs.existsSync(link)) {
      fs.linkSync(this.paths(id)[1], link);
    }
  }
}
