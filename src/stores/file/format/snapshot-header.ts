import type { MetadataPatch } from "../../../metadata.js";

/** How the snapshots of new sessions are laid out. */
export type FileSessionFormat = "json" | "ndjson";

/** The note of the store about a snapshot, in the file itself. Programs that do not know the note drop it. */
export interface StoreHeader {
  version: 1;
  generation: string;
  /** The generation that this one replaced; its journal is done with, as far as `folded` says. */
  previous: string | null;
  /** How many records of the journal of `previous` are in here. */
  folded: number;
  /** The revision of the messages in here. */
  revision: string;
  /** Bytes from the first message to the last. */
  size: number;
  /** Checksum of these bytes. */
  messages: string;
  /** Checksum of the metadata's JSON text and of this header's, up to here. */
  head: string;
}

/** The part of the header that the writer of a snapshot decides. The form knows the rest. */
export type Succession = Pick<StoreHeader, "version" | "generation" | "previous" | "folded" | "revision">;

/** The metadata in a file. Id, dates and count may be missing or wrong. */
export type FileMetadata = MetadataPatch;

export interface SnapshotHead {
  metadata: FileMetadata;
  store: StoreHeader;
  /** Where the first message begins. */
  offset: number;
}
