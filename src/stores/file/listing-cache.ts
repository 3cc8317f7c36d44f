import type { SessionMetadata } from "../../types.js";
import type { FileLayer } from "./file-layer.js";
import { list_session, type SessionName } from "./session-listing.js";
import { SessionPaths } from "./session-paths.js";
import { stamp_of } from "./snapshot-form.js";

/** A file that was changed just now may be changed again with the same date. */
const SETTLED_AFTER_MS = 1000;

type Entries = Map<string, { key: string; json: string }>;

/**
 * What sessions said when they were listed before. Never the authority: an entry counts only while the files have the
 * inodes, sizes and dates that they had when it was read.
 */
export class ListingCache {
  readonly #layer: FileLayer;
  readonly #root: string;
  #entries: Entries = new Map();

  constructor(layer: FileLayer, root: string) {
    this.#layer = layer;
    this.#root = root;
  }

  /** The entries of these sessions; `pause` is called between them. What is not among them is forgotten. */
  async list(names: readonly SessionName[], pause: () => Promise<void> | undefined): Promise<SessionMetadata[]> {
    const found: SessionMetadata[] = [];
    const entries: Entries = new Map();
    for (const name of names) {
      const key = await this.#key(name);
      const known = this.#entries.get(name.id);
      if (known !== undefined && known.key === key) {
        found.push(JSON.parse(known.json) as SessionMetadata);
        entries.set(name.id, known);
      } else {
        const entry = await list_session(
          this.#layer,
          new SessionPaths(this.#root, name.id),
          name.form,
          name.has_journal,
        );
        if (entry !== undefined) {
          found.push(entry);
        }
        if (key !== undefined && entry !== undefined && entry.damaged === undefined) {
          entries.set(name.id, { key, json: JSON.stringify(entry) });
        }
      }
      await pause();
    }
    this.#entries = entries;
    return found;
  }

  /** `undefined`: not settled, or gone. */
  async #key({ id, form, has_journal }: SessionName): Promise<string | undefined> {
    const paths = new SessionPaths(this.#root, id);
    const snapshot = await form.stamp(this.#layer, paths);
    const journal = has_journal ? await this.#layer.stat(paths.journal) : undefined;
    const newest = Math.max(Number(snapshot?.mtime_ns ?? 0n), Number(journal?.mtime_ns ?? 0n)) / 1e6;
    if (snapshot === undefined || Date.now() - newest < SETTLED_AFTER_MS) {
      return undefined;
    }
    return journal === undefined ? snapshot.key : `${snapshot.key} ${stamp_of(journal).key}`;
  }
}
