import { createHash } from "node:crypto";
import { digest } from "./checksum.js";
import { corrupt } from "./corrupt.js";
import { with_file } from "./durable-files.js";
import { read_range, type FileLayer } from "./file-layer.js";
import type { SnapshotHead } from "./snapshot-form.js";

const COPY_BYTES = 256 * 1024;

/**
 * Reads the messages of a snapshot, hands them on as they are, and makes sure that they are what was written. Returns
 * the checksum of them and `added` together.
 * @throws {SessionError} `corrupt`.
 */
export async function copy_checked(
  layer: FileLayer,
  path: string,
  { offset, store }: SnapshotHead,
  added: Buffer,
  take: (chunk: Buffer, position: number) => Promise<void>,
): Promise<string> {
  const hash = createHash("sha256");
  await with_file(await layer.open(path, "read"), async (from) => {
    for (let position = 0; position < store.size;) {
      const chunk = await read_range(from, offset + position, Math.min(COPY_BYTES, store.size - position));
      if (chunk.length === 0) {
        throw corrupt(path, "it ends before its last message");
      }
      hash.update(chunk);
      await take(chunk, position);
      position += chunk.length;
    }
  });
  if (digest(hash.copy()) !== store.messages) {
    throw corrupt(path, "the messages are not those that were written");
  }
  return digest(hash.update(added));
}
