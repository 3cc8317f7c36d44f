import { has_code, SessionError } from "../errors.js";
import type { ResolvedSession } from "../lineage.js";
import { compare_sessions, session_kind } from "../metadata.js";
import type { SessionMetadata } from "../types.js";
import type { StorePort } from "./store-port.js";

/**
 * The newest session that can be loaded: roots and forks before all others. What turns out damaged is reported and
 * passed over. `undefined` where none is left.
 */
export async function newest_session(
  port: StorePort,
  report: (error: unknown, session_id: string) => void,
): Promise<ResolvedSession | undefined> {
  const entries = [...(await port.store.list())].sort(compare_sessions);
  const of_user = (entry: SessionMetadata) => ["root", "fork"].includes(session_kind(entry));
  for (const entry of [...entries.filter(of_user), ...entries.filter((other) => !of_user(other))]) {
    try {
      if (entry.damaged !== undefined) {
        throw new SessionError("corrupt", `session ${entry.id}: ${entry.damaged}`, { session_id: entry.id });
      }
      const resolved = await port.resolve(entry.id);
      if (resolved !== undefined) {
        return resolved;
      }
    } catch (error) {
      if (!has_code(error, "corrupt") && !has_code(error, "lineage")) {
        throw error;
      }
      report(error, entry.id);
    }
  }
  return undefined;
}
