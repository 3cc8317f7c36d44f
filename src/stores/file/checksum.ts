import crypto, { createHash, type Hash } from "node:crypto";

/** Where there is a way to hash in one call, it is the faster one for a few bytes. */
const SMALL_BYTES = 2048;
const hash_at_once = (crypto as Partial<typeof crypto>).hash;

/** The first 64 bits of SHA-256, in hexadecimal. */
export function checksum(...parts: (string | Uint8Array)[]): string {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (hash_at_once !== undefined && length <= SMALL_BYTES) {
    const bytes = parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part));
    return hash_at_once("sha256", Buffer.concat(bytes), "hex").slice(0, 16);
  }
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(part);
  }
  return digest(hash);
}

/** What `checksum` would return of all that the hash has seen. */
export function digest(hash: Hash): string {
  return hash.digest("hex").slice(0, 16);
}
