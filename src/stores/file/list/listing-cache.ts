import type { Pause } from "../../../async/time-slicer.js";
import type { SessionMetadata } from "../../../types.js";
import type { FileLayer } from "../fs/file-layer.js";
import { list_session, stamps_of, type SessionName } from "./session-listing.js";
import { with_open_files } from "../fs/open-files.js";
import { SessionPaths } from "../session-paths.js";
import type { SnapshotStamp } from "../snapshots/snapshot-form.js";

/** The number of sessions that are read at a time. Reads that wait for the device wait together. */
const LANES = 32;
/** A file that was changed just now may be changed again with the same date. */
const SETTLED_AFTER_MS = 1000;

interface Entry {
  /** `undefined`: the entry is not to be kept. */
  key: string | undefined;
  /** `undefined`: it is gone, or the file was never a session. */
  metadata: SessionMetadata | undefined;
}

/**
 * Remembers the metadata of listed sessions. Never the authority: an entry counts only while the files have the
 * inodes, sizes and dates that they had when it was read.
 */
export class ListingCache {
  readonly #layer: FileLayer;
  readonly #root: string;
  #entries = new Map<string, Entry>();

  constructor(layer: FileLayer, root: string) {
    this.#layer = layer;
    this.#root = root;
  }

  /** The entries of these sessions; `pause` is called between them. What is not among them is forgotten. */
  async list(names: readonly SessionName[], pause: Pause): Promise<SessionMetadata[]> {
    const found: SessionMetadata[] = [];
    const entries = new Map<string, Entry>();
    const rest = names.values();
    const lane = async () => {
      for (const name of rest) {
        const entry = await this.#entry(name);
        if (entry.metadata) {
          found.push(copy_of(entry.metadata));
        }
        if (entry.key !== undefined) {
          entries.set(name.id, entry);
        }
        await pause();
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    this.#entries = entries;
    return found;
  }

  async #entry({ id, form, has_journal }: SessionName): Promise<Entry> {
    const paths = new SessionPaths(this.#root, id);
    const known = this.#entries.get(id);
    if (known && known.key === key_of(await stamps_of(this.#layer, paths, form, has_journal))) {
      return known;
    }
    const read = () => list_session(this.#layer, paths, form, has_journal);
    const { metadata, stamps } = (await with_open_files(this.#layer, read)) ?? {};
    return { metadata, key: metadata?.damaged === undefined ? key_of(stamps) : undefined };
  }
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
