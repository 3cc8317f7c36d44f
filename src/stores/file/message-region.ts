import { createHash, type Hash } from "node:crypto";
import { digest } from "./checksum.js";
import { corrupt } from "./corrupt.js";
import { with_file } from "./durable-files.js";
import { read_into, write_all, type FileLayer, type OpenFile } from "./file-layer.js";
import type { SnapshotContent, SnapshotHead } from "./snapshot-form.js";

/** No more than so much is left to the system at a time: a sync of another file may have to wait for it. */
const PIECE_BYTES = 256 * 1024;

/** The messages of a file to be, from its first byte of them to the last. All of them pass through one piece of memory. */
export class MessageRegion {
  readonly #file: OpenFile;
  readonly #begin: number;
  readonly #durable: boolean;
  readonly #content: Pick<SnapshotContent, "signal" | "others_first">;
  readonly #hash: Hash = createHash("sha256");
  /** What is next to be written: its first `#filled` bytes. */
  readonly #piece: Buffer;
  #filled = 0;
  #written = 0;

  /** `content`: how much there will be, and how its writing gives way to other work. */
  constructor(
    file: OpenFile,
    { begin, durable, content }: { begin: number; durable: boolean; content: SnapshotContent },
  ) {
    this.#file = file;
    this.#begin = begin;
    this.#durable = durable;
    this.#content = content;
    const size = (content.kept?.store.size ?? 0) + content.added_size;
    this.#piece = Buffer.allocUnsafe(Math.max(1, Math.min(PIECE_BYTES, size)));
  }

  /** Bytes so far. */
  get size(): number {
    return this.#written + this.#filled;
  }

  /**
   * The messages of a snapshot, as they are.
   * @throws {SessionError} `corrupt` where they are not those that were written.
   */
  async copy(layer: FileLayer, path: string, { offset, store }: SnapshotHead): Promise<void> {
    await with_file(await layer.open(path, "read"), async (from) => {
      for (let position = 0; position < store.size;) {
        await this.#make_room();
        const room = this.#piece.subarray(this.#filled, this.#filled + store.size - position);
        const length = await read_into(room, from, offset + position);
        if (length < room.length) {
          throw corrupt(path, "it ends before its last message");
        }
        this.#took(room);
        position += length;
      }
    });
    if (this.checksum() !== store.messages) {
      throw corrupt(path, "the messages are not those that were written");
    }
  }

  /** More of them. They are written when there is enough to write; once this resolves, `bytes` may change. */
  async add(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      await this.#make_room();
      const end = at + Math.min(bytes.length - at, this.#piece.length - this.#filled);
      bytes.copy(this.#piece, this.#filled, at, end);
      this.#took(bytes.subarray(at, end));
      at = end;
    }
  }

  #took(bytes: Buffer): void {
    this.#hash.update(bytes);
    this.#filled += bytes.length;
  }

  async #make_room(): Promise<void> {
    if (this.#filled < this.#piece.length) {
      return;
    }
    await this.finish();
    if (this.#durable) {
      await this.#file.datasync();
    }
  }

  /** Writes what there is. */
  async finish(): Promise<void> {
    if (this.#filled === 0) {
      return;
    }
    const { signal, others_first } = this.#content;
    await others_first?.();
    signal?.throwIfAborted();
    await write_all(this.#file, this.#piece.subarray(0, this.#filled), this.#begin + this.#written);
    this.#written += this.#filled;
    this.#filled = 0;
  }

  /** Of all of them so far. */
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
