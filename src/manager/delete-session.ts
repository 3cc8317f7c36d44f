import type { Message } from "@simulacra-ai/core";
import { has_code, SessionError } from "../errors.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import type { ConversationLink } from "./conversation-link.js";
import type { EngineParts } from "./current-session.js";
import { keep_forks_of_deleted, make_whole, type MadeWhole } from "./inheritance.js";
import type { SavePipeline } from "./save-pipeline.js";
import type { StorePort } from "./store-port.js";
import type { DeleteOptions } from "./types.js";

type ForkPolicy = NonNullable<DeleteOptions["forks"]>;

/** @throws {SessionError} `invalid_input`. */
export function require_fork_policy(policy: unknown): asserts policy is ForkPolicy {
  if (policy !== "keep" && policy !== "refuse" && policy !== "cascade") {
    throw new SessionError("invalid_input", `forks must be "keep", "refuse" or "cascade", not ${String(policy)}`);
  }
}

/**
 * Deletes a session; the conversation of the current one is cleared. Nothing asked for of what is deleted is written
 * any more. Returns whether there was one.
 * @throws {SessionError} `invalid_state` where the policy is to refuse, or the conversation is busy.
 */
export async function delete_session(
  { port, pipeline, events, current }: EngineParts,
  id: string,
  policy: ForkPolicy,
): Promise<boolean> {
  const doomed = policy === "cascade" ? await port.with_descendants([id]) : [id];
  const takes_current = current.id !== undefined && doomed.includes(current.id);
  current.require_idle_if(takes_current);
  if (policy === "refuse") {
    await require_no_forks(port, id);
  }
  if (policy !== "cascade") {
    const released = await release_forks(port, id);
    const whole = current.id === undefined ? undefined : released.get(current.id);
    if (whole !== undefined) {
      current.session?.make_self_contained(whole.revision);
    }
  }
  await pipeline.bury(doomed);
  let existed: boolean;
  let history: Message[];
  try {
    history = await port.readable_history(id);
    existed = await delete_all(port, doomed, takes_current ? current.conversation : undefined);
    doomed.forEach((of) => events.failures.forget(of));
  } catch (error) {
    pipeline.unbury(doomed);
    current.session?.forget_revision();
    throw error;
  } finally {
    if (current.session && pipeline.is_deleted(current.session.id)) {
      pipeline.forget(current.session);
      current.activate(undefined);
    }
  }
  try {
    await (policy === "cascade" ? delete_late(port, pipeline, doomed) : keep_forks_of_deleted(port, id, history));
  } catch (error) {
    events.report(error, "delete", { session_id: id }); // the session itself is deleted
  }
  return existed;
}

/** Deletes a session that no manager holds; its forks keep what they inherit. */
export async function delete_keeping_forks(port: StorePort, id: string): Promise<void> {
  await release_forks(port, id);
  const history = await port.readable_history(id);
  await port.store.delete(id);
  await keep_forks_of_deleted(port, id, history);
}

async function require_no_forks(port: StorePort, id: string): Promise<void> {
  const forks = await other_forks_of(port, id);
  if (forks.length > 0) {
    throw new SessionError("invalid_state", `session ${id} has forks that inherit from it: ${forks.length}`, {
      session_id: id,
    });
  }
}

/** Sees to it that no fork loses what it inherits from a session. Returns the forks that hold it themselves now. */
async function release_forks(port: StorePort, id: string): Promise<Map<string, MadeWhole>> {
  const released = new Map<string, MadeWhole>();
  for (const fork of await other_forks_of(port, id)) {
    const whole = await make_whole(port, fork.id, id);
    if (whole !== undefined) {
      released.set(fork.id, whole);
    }
  }
  return released;
}

async function other_forks_of(port: StorePort, id: string): Promise<SessionMetadata[]> {
  return (await port.forks_of(id)).filter((fork) => fork.id !== id);
}

/** Deletes what has come to descend from deleted sessions meanwhile. */
async function delete_late(port: StorePort, pipeline: SavePipeline, deleted: readonly string[]): Promise<void> {
  const gone = new Set(deleted);
  const late = (await port.with_descendants(deleted)).filter((id) => !gone.has(id));
  await pipeline.bury(late);
  for (const id of late) {
    await port.store.delete(id);
  }
}

/**
 * Deletes sessions and, where the current one is among them, clears its conversation: all of it, or nothing where the
 * conversation turns out busy. Returns whether the last one existed.
 */
async function delete_all(
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
