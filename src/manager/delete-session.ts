import { has_code, SessionError } from "../errors.js";
import type { StoredSession } from "../types.js";
import type { ConversationLink } from "./conversation-link.js";
import type { StorePort } from "./store-port.js";
import type { DeleteOptions } from "./types.js";

type ForkPolicy = NonNullable<DeleteOptions["forks"]>;

/** @throws {SessionError} `invalid_input`. */
export function require_fork_policy(policy: unknown): asserts policy is ForkPolicy {
  if (policy !== "keep" && policy !== "refuse" && policy !== "cascade") {
    throw new SessionError("invalid_input", `forks must be "keep", "refuse" or "cascade", not ${String(policy)}`);
  }
}

/** A session and, with `"cascade"`, all that descend from it, the deepest first. */
export async function doomed_sessions(port: StorePort, id: string, policy: ForkPolicy): Promise<string[]> {
  return policy === "cascade" ? port.with_descendants(id) : [id];
}

/**
 * Sees to it that no fork loses what it inherits from a session. Returns the forks that were made whole, with their
 * new revisions.
 * @throws {SessionError} `invalid_state` where the policy is to refuse.
 */
export async function release_forks(
  port: StorePort,
  id: string,
  policy: ForkPolicy,
): Promise<Map<string, string | undefined>> {
  const released = new Map<string, string | undefined>();
  if (policy === "cascade") {
    return released;
  }
  const forks = (await port.forks_of(id)).filter((fork) => fork.id !== id);
  if (policy === "refuse" && forks.length > 0) {
    throw new SessionError("invalid_state", `session ${id} has forks that inherit from it: ${forks.length}`, {
      session_id: id,
    });
  }
  for (const fork of forks) {
    released.set(fork.id, await port.make_self_contained(fork.id));
  }
  return released;
}

/**
 * Deletes sessions and, where the current one is among them, clears its conversation: all of it, or nothing where the
 * conversation turns out busy. Returns whether the last one existed.
 */
export async function delete_all(
  port: StorePort,
  ids: readonly string[],
  conversation: Pick<ConversationLink, "require_idle" | "clear"> | undefined,
): Promise<boolean> {
  const records = conversation ? await load_records(port, ids) : [];
  conversation?.require_idle();
  let existed = false;
  for (const id of ids) {
    existed = await port.store.delete(id);
  }
  try {
    conversation?.require_idle();
    conversation?.clear();
  } catch (error) {
    for (const { metadata, messages } of records.reverse()) {
      await port.store.save(metadata.id, messages, metadata);
    }
    throw error;
  }
  return existed;
}

/** What can be read of these sessions. */
async function load_records(port: StorePort, ids: readonly string[]): Promise<StoredSession[]> {
  const records: StoredSession[] = [];
  for (const id of ids) {
    try {
      const record = await port.load(id);
      if (record !== undefined) {
        records.push(record);
      }
    } catch (error) {
      if (!has_code(error, "corrupt")) {
        throw error;
      }
    }
  }
  return records;
}
