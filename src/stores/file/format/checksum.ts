import { createHash, type Hash } from "node:crypto";
import type { Pause } from "../../../async/time-slicer.js";

/** The first 64 bits of SHA-256, in hexadecimal. */
export function checksum(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(part);
  }
  return digest(hash);
}

/** Returns the checksum of messages, with a separator between them: what a snapshot with these messages carries. */
export async function sum_of_messages(messages: readonly unknown[], separator: string, pause: Pause): Promise<string> {
  const hash = createHash("sha256");
  for (const [n, message] of messages.entries()) {
    hash.update((n > 0 ? separator : "") + JSON.stringify(message));
    await pause();
  }
  return digest(hash);
}

/** Returns what `checksum` returns of all bytes that the hash has seen. */
export function digest(hash: Hash): string {
  return hash.digest("hex").slice(0, 16);
}
