import { createHash } from "node:crypto";
import type { SessionMetadata } from "../../types.js";
import { checksum, digest } from "./checksum.js";
import { with_file } from "./durable-files.js";
import { read_range, write_all, type FileLayer, type OpenFile } from "./file-layer.js";
import type { SessionPaths } from "./session-paths.js";
import type { SessionState, SessionView } from "./session-view.js";
import { corrupt, encode_head, SEPARATOR, SNAPSHOT_SUFFIX, type SnapshotHead, type StoreHeader } from "./snapshot.js";
import { new_token } from "./token.js";

const COPY_BYTES = 256 * 1024;

/** What a new snapshot notes of the one it replaces. */
function succession(
  state: SessionState | undefined,
): Pick<StoreHeader, "version" | "generation" | "previous" | "folded"> {
  const previous = state?.head?.store.generation ?? null;
  const journal = state?.journal;
  const folded = journal !== undefined && journal.base === previous ? journal.records : 0;
  return { version: 1, generation: new_token(16), previous, folded };
}

/** Writes a snapshot of these messages, each a JSON text. Returns its head. */
export async function write_snapshot(
  file: OpenFile,
  messages: readonly string[],
  metadata: SessionMetadata,
  options: { revision: string; replaces: SessionState | undefined },
): Promise<SnapshotHead> {
  const region = Buffer.from(messages.join(SEPARATOR.toString()));
  const store = {
    ...succession(options.replaces),
    revision: options.revision,
    size: region.length,
    messages: checksum(region),
  };
  const head = encode_head(metadata, store);
  await write_all(file, head.bytes, 0);
  await write_all(file, region, head.bytes.length);
  await write_all(file, SNAPSHOT_SUFFIX, head.bytes.length + region.length);
  return { metadata, store: head.store, offset: head.bytes.length };
}

/**
 * Writes a snapshot of the old one's messages and those of some records, as they stand in the files: nothing is
 * parsed, and the old bytes are checked on the way. Returns its head.
 * @throws {SessionError} `corrupt` where the old messages are not what was written.
 */
export async function write_folded(
  layer: FileLayer,
  paths: SessionPaths,
  file: OpenFile,
  { state, records }: SessionView,
  metadata: SessionMetadata,
): Promise<SnapshotHead> {
  const old = state.head as SnapshotHead;
  const bodies = records.filter((record) => record.count > 0).map((record) => record.body);
  const parts = old.store.size === 0 ? bodies : [Buffer.alloc(0), ...bodies];
  const added = Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [part] : [SEPARATOR, part])));
  const store = {
    ...succession(state),
    revision: state.revision,
    size: old.store.size + added.length,
    messages: "0".repeat(16),
  };
  const offset = encode_head(metadata, store).bytes.length;
  const hash = createHash("sha256");
  await copy_messages(layer, paths, old, async (chunk, position) => {
    hash.update(chunk);
    await write_all(file, chunk, offset + position);
  });
  if (digest(hash.copy()) !== old.store.messages) {
    throw corrupt(paths.snapshot, "the messages are not those that were written");
  }
  hash.update(added);
  await write_all(file, added, offset + old.store.size);
  await write_all(file, SNAPSHOT_SUFFIX, offset + store.size);
  const head = encode_head(metadata, { ...store, messages: digest(hash) });
  await write_all(file, head.bytes, 0);
  return { metadata, store: head.store, offset };
}

async function copy_messages(
  layer: FileLayer,
  paths: SessionPaths,
  { offset, store }: SnapshotHead,
  take: (chunk: Buffer, position: number) => Promise<void>,
): Promise<void> {
  await with_file(await layer.open(paths.snapshot, "read"), async (from) => {
    for (let position = 0; position < store.size;) {
      const chunk = await read_range(from, offset + position, Math.min(COPY_BYTES, store.size - position));
      if (chunk.length === 0) {
        throw corrupt(paths.snapshot, "it ends before its last message");
      }
      await take(chunk, position);
      position += chunk.length;
    }
  });
}
