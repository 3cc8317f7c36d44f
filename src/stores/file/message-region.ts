import { createHash, type Hash } from "node:crypto";
import { digest } from "./checksum.js";
import { corrupt } from "./corrupt.js";
import { with_file } from "./durable-files.js";
import { read_range, write_all, type FileLayer, type OpenFile } from "./file-layer.js";
import type { SnapshotContent, SnapshotHead } from "./snapshot-form.js";

const PIECE_BYTES = 256 * 1024;
/** So many bytes are left to the system at most: a sync of another file may have to wait for them. */
const UNSYNCED_BYTES = 512 * 1024;

/** The messages of a file to be, from its first byte of them to the last. */
export class MessageRegion {
  readonly #file: OpenFile;
  readonly #begin: number;
  readonly #durable: boolean;
  readonly #content: Pick<SnapshotContent, "signal" | "others_first">;
  readonly #hash: Hash = createHash("sha256");
  #waiting: Buffer[] = [];
  #waiting_bytes = 0;
  #synced = 0;
  /** Bytes written so far. */
  size = 0;

  /** `content`: how its writing gives way to other work. */
  constructor(
    file: OpenFile,
    { begin, durable, content }: { begin: number; durable: boolean; content: SnapshotContent },
  ) {
    this.#file = file;
    this.#begin = begin;
    this.#durable = durable;
    this.#content = content;
  }

  /**
   * The messages of a snapshot, as they are.
   * @throws {SessionError} `corrupt` where they are not those that were written.
   */
  async copy(layer: FileLayer, path: string, { offset, store }: SnapshotHead): Promise<void> {
    await with_file(await layer.open(path, "read"), async (from) => {
      for (let position = 0; position < store.size;) {
        await this.#give_way();
        const piece = await read_range(from, offset + position, Math.min(PIECE_BYTES, store.size - position));
        if (piece.length === 0) {
          throw corrupt(path, "it ends before its last message");
        }
        await this.#write(piece);
        position += piece.length;
      }
    });
    if (this.checksum() !== store.messages) {
      throw corrupt(path, "the messages are not those that were written");
    }
  }

  /** More of them; written when there is enough to write. */
  async add(bytes: Buffer): Promise<void> {
    this.#waiting.push(bytes);
    this.#waiting_bytes += bytes.length;
    if (this.#waiting_bytes >= PIECE_BYTES) {
      await this.finish();
    }
  }

  /** Writes what was added. */
  async finish(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waiting_bytes = 0;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      await this.#give_way();
      await this.#write(bytes.subarray(at, at + PIECE_BYTES));
    }
  }

  async #give_way(): Promise<void> {
    const { signal, others_first } = this.#content;
    await others_first?.();
    signal?.throwIfAborted();
  }

  async #write(piece: Buffer): Promise<void> {
    this.#hash.update(piece);
    await write_all(this.#file, piece, this.#begin + this.size);
    this.size += piece.length;
    if (this.#durable && this.size - this.#synced >= UNSYNCED_BYTES) {
      await this.#file.datasync();
      this.#synced = this.size;
    }
  }

  /** Of all that was written. */
  checksum(): string {
    return digest(this.#hash.copy());
  }
}

/** Writes all messages of a snapshot; `path`: of the one whose messages it keeps. @throws {SessionError} `corrupt`. */
export async function write_messages(
  region: MessageRegion,
  { kept, added }: SnapshotContent,
  { layer, path, separator }: { layer: FileLayer; path: string; separator: Buffer },
): Promise<void> {
  if (kept !== undefined) {
    await region.copy(layer, path, kept);
  }
  let is_first = region.size === 0;
  for await (const piece of added) {
    if (!is_first) {
      await region.add(separator);
    }
    is_first = false;
    await region.add(piece);
  }
  await region.finish();
}
