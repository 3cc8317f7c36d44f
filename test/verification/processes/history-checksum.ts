import { createHash, type Hash } from "node:crypto";

/** Short, and another for any other history. */
export function history_checksum(tags: readonly string[]): string {
  return digest(tags.reduce((hash, tag) => hash.update(`${tag} `), createHash("sha256")));
}

/** The checksums of all beginnings of a history: of none, one, two messages … */
export function checksums_of_beginnings(tags: readonly string[]): string[] {
  const hash = createHash("sha256");
  return [digest(hash.copy()), ...tags.map((tag) => digest(hash.update(`${tag} `).copy()))];
}

function digest(hash: Hash): string {
  return hash.digest("hex").slice(0, 16);
}
