import { randomUUID } from "node:crypto";

/** Another one each time, in any process: 96 random bits in 16 characters. */
export function new_token(): string {
  const uuid = randomUUID(); // from a pool: random bytes asked for one by one cost many times as much
  return Buffer.from(uuid.slice(24) + uuid.slice(0, 8) + uuid.slice(9, 13), "hex").toString("base64url");
}
