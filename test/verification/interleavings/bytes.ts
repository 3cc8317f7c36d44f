import { createHash } from "node:crypto";
import { resized, written, type Contents } from "../crash-states/logged-disk.js";

/** The bytes of files, the same object wherever they are the same: what was made of them once need not be made again. */
export class Bytes implements Contents {
  readonly #known = new Map<string, Buffer>();
  readonly #digests = new WeakMap<Buffer, string>();
  readonly #made = new Map<string, Buffer>();

  digest_of(data: Buffer): string {
    let digest = this.#digests.get(data);
    if (digest === undefined) {
      digest = createHash("sha1").update(data).digest("base64");
      this.#digests.set(data, digest);
    }
    return digest;
  }

  /** The one object for these bytes; `data` is not to be changed any more. */
  one_of(data: Buffer): Buffer {
    const digest = this.digest_of(data);
    const known = this.#known.get(digest) ?? data;
    this.#known.set(digest, known);
    return known;
  }

  resized(data: Buffer, size: number): Buffer {
    return this.#make(`${this.digest_of(data)} ${size}`, () => resized(data, size));
  }

  written(data: Buffer, position: number, added: Buffer): Buffer {
    const name = `${this.digest_of(data)} ${position} ${this.digest_of(added)}`;
    return this.#make(name, () => written(data, position, added));
  }

  #make(name: string, make: () => Buffer): Buffer {
    let made = this.#made.get(name);
    if (made === undefined) {
      made = this.one_of(make());
      this.#made.set(name, made);
    }
    return made;
  }
}
