import { createHash, type Hash } from "node:crypto";

/** The first 64 bits of SHA-256, in hexadecimal. */
export function checksum(...parts: (string | Uint8Array)[]): string {
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
