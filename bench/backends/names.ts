import { randomBytes } from "node:crypto";

/** A name that nobody else has, of letters, digits and `_`. */
export function new_name(): string {
  return `session_bench_${process.pid}_${randomBytes(6).toString("hex")}`;
}
