import type { Usage } from "@simulacra-ai/core";
import type { SessionUsage } from "./types.js";

/** The sum of a session's usage and one more turn's; keys that nobody knows are summed where they are numbers. */
export function add_usage(sum: SessionUsage | undefined, turn: Usage): SessionUsage {
  const total = new Map<string, unknown>(Object.entries(sum ?? {}));
  for (const [key, value] of Object.entries(turn)) {
    if (typeof value === "number" && Number.isFinite(value)) {
      const before = total.get(key);
      total.set(key, (typeof before === "number" ? before : 0) + value);
    }
  }
  return { ...Object.fromEntries(total), requests: (sum?.requests ?? 0) + 1 };
}
