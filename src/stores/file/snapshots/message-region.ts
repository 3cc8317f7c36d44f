import type { Message } from "@simulacra-ai/core";
import { createHash, type Hash } from "node:crypto";
import type { Pause } from "../../../async/time-slicer.js";
import { has_code } from "../../../errors.js";
import { digest } from "../format/checksum.js";
import { corrupt, wrong_messages } from "../format/corrupt.js";
import { parse_messages } from "../format/messages.js";
import type { SnapshotHead } from "../format/snapshot-header.js";
import { with_file } from "../fs/durable-files.js";
import { read_into, write_all, type OpenFile } from "../fs/file-layer.js";
import { PIECE_BYTES, read_pieces, whole_lines } from "../fs/regular-file.js";
import type { PrepareContext, SnapshotContent } from "./snapshot-form.js";

/** Reads the bytes of a snapshot's messages, and passes them through a hash. */
async function* hashed_pieces(file: OpenFile, { offset, store }: SnapshotHead, hash: Hash): AsyncGenerator<Buffer> {
  for await (const piece of read_pieces(file, offset, offset + store.size)) {
    hash.update(piece);
    yield piece;
  }
}

/** Reads the messages of a snapshot of ours. Returns `undefined` if they are not those that its head names. */
export async function read_messages(
  file: OpenFile,
  head: SnapshotHead,
  path: string,
  pause: Pause,
): Promise<Message[] | undefined> {
  const hash = createHash("sha256");
  const messages: Message[] = [];
  try {
    for await (const lines of whole_lines(hashed_pieces(file, head, hash))) {
      for (const message of await parse_messages(lines, path, pause)) {
        messages.push(message);
      }
    }
  } catch (error) {
    if (has_code(error, "corrupt")) {
      return undefined; // the checksum would be another one
    }
    throw error;
  }
  return digest(hash) === head.store.messages ? messages : undefined;
}

/** True if a file holds the messages that a head names. Parses nothing. */
export async function holds_messages(file: OpenFile, head: SnapshotHead, pause: Pause): Promise<boolean> {
  const hash = createHash("sha256");
  for await (const _piece of hashed_pieces(file, head, hash)) {
    await pause();
  }
  return digest(hash) === head.store.messages;
}

/**
 * Writes all messages of a snapshot, from `begin` on. All of them pass through one piece of memory: a sync of another file may
 * have to wait for what is left to the system. Returns their size and
 * checksum. `path`: of the snapshot whose messages are kept.
 * @throws {SessionError} `corrupt` where these are not what was written.
 */
export async function write_messages(
  file: OpenFile,
  begin: number,
  { kept, added, added_size, signal }: SnapshotContent,
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

  if (kept) {
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
