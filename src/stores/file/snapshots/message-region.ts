import { createHash } from "node:crypto";
import { digest } from "../format/checksum.js";
import { corrupt, wrong_messages } from "../format/corrupt.js";
import { with_file } from "../fs/durable-files.js";
import { read_into, write_all, type OpenFile } from "../fs/file-layer.js";
import type { PrepareContext, SnapshotContent } from "./snapshot-form.js";

/** No more than so much is left to the system at a time: a sync of another file may have to wait for it. */
const PIECE_BYTES = 256 * 1024;

/**
 * Writes all messages of a snapshot, from `begin` on. All of them pass through one piece of memory. Returns their size and
 * checksum. `path`: of the snapshot whose messages are kept.
 * @throws {SessionError} `corrupt` where these are not what was written.
 */
export async function write_messages(
  file: OpenFile,
  begin: number,
  { kept, added, added_size, signal, others_first }: SnapshotContent,
  { context, path, separator }: { context: PrepareContext; path: string; separator: string },
): Promise<{ size: number; checksum: string }> {
  const { layer, policy } = context;
  const hash = createHash("sha256");
  const kept_size = kept?.store.size ?? 0;
  const piece = Buffer.allocUnsafe(Math.max(1, Math.min(PIECE_BYTES, kept_size + added_size)));
  let filled = 0;
  let size = 0;
  const write_piece = async () => {
    if (filled > 0) {
      await others_first?.();
      signal?.throwIfAborted();
      await write_all(file, piece.subarray(0, filled), begin + size);
      size += filled;
      filled = 0;
    }
  };
  const room_for = async (length: number) => {
    if (filled === piece.length) {
      await write_piece();
      await (policy.durable && file.datasync());
    }
    return piece.subarray(filled, filled + length);
  };
  const took = (bytes: Buffer) => {
    hash.update(bytes);
    filled += bytes.length;
  };
  const add = async (bytes: Buffer) => {
    for (let at = 0; at < bytes.length;) {
      const room = await room_for(bytes.length - at);
      at += bytes.copy(room, 0, at);
      took(room);
    }
  };

  if (kept !== undefined) {
    await with_file(await layer.open(path, "read"), async (from) => {
      for (let position = 0; position < kept_size;) {
        const room = await room_for(kept_size - position);
        if ((await read_into(room, from, kept.offset + position)) < room.length) {
          throw corrupt(path, "it ends before its last message");
        }
        took(room);
        position += room.length;
      }
    });
    if (digest(hash.copy()) !== kept.store.messages) {
      throw wrong_messages(path);
    }
  }
  let between = Buffer.from(kept_size > 0 ? separator : "");
  for await (const messages of added) {
    await add(between);
    await add(messages);
    between = Buffer.from(separator);
  }
  await write_piece();
  return { size, checksum: digest(hash) };
}
