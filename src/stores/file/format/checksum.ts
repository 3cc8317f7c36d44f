import { createHash, type Hash } from "node:crypto";

/** The first 64 bits of SHA-256, in hexadecimal. */
export function checksum(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(part);
  }
  return digest(hash);
}

/** Returns the checksum of messages, with a separator between them: what a snapshot with these messages carries. */
export function sum_of_messages(messages: readonly unknown[], separator: string): string {
  return checksum(messages.map((message) => JSON.stringify(message)).join(separator));
}

/** Returns what `checksum` returns of all bytes that the hash has seen. */
export function digest(hash: Hash): string {
  return hash.digest("hex").slice(0, 16);
}
