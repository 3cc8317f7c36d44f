import type { Pause } from "../../async/time-slicer.js";
import type { SessionMetadata } from "../../types.js";
import type { FileLayer } from "./file-layer.js";
import {
  list_session,
  list_session_now,
  stamps_now,
  stamps_of,
  type ListedSession,
  type SessionName,
} from "./session-listing.js";
import { SessionPaths } from "./session-paths.js";
import type { SnapshotStamp } from "./snapshot-form.js";

/** So many sessions are read at a time: what waits for the device waits together. */
const LANES = 32;
/** A file that was changed just now may be changed again with the same date. */
const SETTLED_AFTER_MS = 1000;

interface CachedEntry {
  key: string;
  metadata: SessionMetadata;
}

interface Entry {
  /** `undefined`: it is gone. */
  metadata: SessionMetadata | undefined;
  /** For the next time. */
  cached: CachedEntry | undefined;
}

/**
 * What sessions said when they were listed before. Never the authority: an entry counts only while the files have the
 * inodes, sizes and dates that they had when it was read.
 */
export class ListingCache {
  readonly #layer: FileLayer;
  readonly #root: string;
  #entries = new Map<string, CachedEntry>();

  constructor(layer: FileLayer, root: string) {
    this.#layer = layer;
    this.#root = root;
  }

  /** The entries of these sessions; `pause` is called between them. What is not among them is forgotten. */
  async list(names: readonly SessionName[], pause: Pause): Promise<SessionMetadata[]> {
    const found: SessionMetadata[] = [];
    const entries = new Map<string, CachedEntry>();
    const rest = names.values();
    const lane = async () => {
      for (const name of rest) {
        const { metadata, cached } = this.#entry_now(name) ?? (await this.#entry(name));
        if (metadata !== undefined) {
          found.push(metadata);
        }
        if (cached !== undefined) {
          entries.set(name.id, cached);
        }
        const pausing = pause();
        if (pausing !== undefined) {
          await pausing;
        }
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    this.#entries = entries;
    return found;
  }

  async #entry({ id, form, has_journal }: SessionName): Promise<Entry> {
    const paths = new SessionPaths(this.#root, id);
    const known = this.#entries.get(id);
    if (known !== undefined && known.key === key_of(await stamps_of(this.#layer, paths, form, has_journal))) {
      return entry_of_cached(known);
    }
    return entry_of(await list_session(this.#layer, paths, form, has_journal));
  }

  /** The same at once; `undefined` where that is to be asked. */
  #entry_now({ id, form, has_journal }: SessionName): Entry | undefined {
    const paths = new SessionPaths(this.#root, id);
    const known = this.#entries.get(id);
    if (known !== undefined && known.key === key_of(stamps_now(this.#layer, paths, form, has_journal))) {
      return entry_of_cached(known);
    }
    const listed = list_session_now(this.#layer, paths, form, has_journal);
    return listed && entry_of(listed);
  }
}

function entry_of_cached(cached: CachedEntry): Entry {
  return { metadata: copy_of(cached.metadata), cached };
}

function entry_of(listed: ListedSession | undefined): Entry {
  const { metadata, stamps } = listed ?? {};
  const key = key_of(stamps);
  const is_cached = metadata !== undefined && metadata.damaged === undefined && key !== undefined;
  return { metadata, cached: is_cached ? { key, metadata: copy_of(metadata) } : undefined };
}

/** Shares nothing with the original. Most of what metadata hold are texts and numbers. */
function copy_of(metadata: SessionMetadata): SessionMetadata {
  const copy: Record<string, unknown> = { ...metadata };
  for (const [key, value] of Object.entries(copy)) {
    if (typeof value === "object") {
      copy[key] = JSON.parse(JSON.stringify(value));
    }
  }
  return copy as unknown as SessionMetadata;
}

/** `undefined`: a file is not settled, or gone. */
function key_of(stamps: readonly SnapshotStamp[] | undefined): string | undefined {
  const settled_before = BigInt(Date.now() - SETTLED_AFTER_MS) * 1_000_000n;
  const is_settled = stamps?.every(({ mtime_ns }) => mtime_ns < settled_before);
  return is_settled ? stamps?.map(({ key }) => key).join(" ") : undefined;
}
