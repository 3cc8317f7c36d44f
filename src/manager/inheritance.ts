import type { Message } from "@simulacra-ai/core";
import { has_code, SessionError } from "../errors.js";
import { fork_point, inherits, same_lineage, type ResolvedSession } from "../lineage.js";
import { session_kind } from "../metadata.js";
import type { SessionMetadata, StoredSession } from "../types.js";
import type { StorePort } from "./store-port.js";
import { begins_with, type Messages } from "./timeline.js";

/*
 * Sessions inherit from records that others may cut or delete at any time, and no store changes two records in one
 * step. So both sides look twice. Whoever cuts or deletes a session sees to its forks before, and again, for those that
 * came between, after it: with the history that it holds in memory. Whoever writes a fork looks at the parent again
 * after it. Of two that meet, one at least notices.
 */

const ATTEMPTS = 8;
/** For how long, and how often, another manager that moves a parent just now is waited for. */
const PATIENCE = { ms: 25, times: 2 };

/** A fork that holds all of its history itself now. */
export interface MadeWhole {
  /** The new revision, if the store has such. */
  revision: string | undefined;
}

export function changed_meanwhile(id: string): SessionError {
  return new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
}

/** Runs a write that another writer may come between, again where one did; the task reads anew each time. */
async function until_settled<T>(id: string, task: (attempt: number) => Promise<T | "again">): Promise<T> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    try {
      const result = await task(attempt);
      if (result !== "again") {
        return result;
      }
    } catch (error) {
      if (!is_moved(error) || attempt === ATTEMPTS) {
        throw error;
      }
    }
  }
  throw changed_meanwhile(id);
}

async function pause(): Promise<"again"> {
  await new Promise((resolve) => setTimeout(resolve, PATIENCE.ms));
  return "again";
}

/** True where another writer changed or deleted what was to be written. */
function is_moved(error: unknown): boolean {
  return has_code(error, "conflict") || has_code(error, "not_found");
}

/** Writes all of a fork's history into the fork itself; its parent is named for provenance from then on. */
function write_whole(port: StorePort, { metadata, revision }: StoredSession, messages: Messages) {
  const { id, updated_at } = metadata;
  const detached = { detached: true, kind: session_kind(metadata), updated_at };
  return port.put(id, messages, detached, revision ?? null);
}

/**
 * Writes what a fork inherits from a session into the fork itself; what a cycle of parents holds is taken once. Where
 * the chain of parents lacks something, and goes on lacking it, what remains is what it inherits. `undefined`: the fork
 * is gone, or has another parent by now.
 */
export async function make_whole(port: StorePort, id: string, parent_id: string): Promise<MadeWhole | undefined> {
  return until_settled(id, async (attempt) => {
    const resolved = await port.resolve(id, { cut_cycles: true });
    if (resolved === undefined || resolved.record.metadata.parent_id !== parent_id) {
      return undefined;
    }
    const { record, messages, missing } = resolved;
    if (!inherits(record.metadata)) {
      return { revision: record.revision };
    }
    if (missing.length > 0 && attempt <= PATIENCE.times) {
      return pause();
    }
    const now = await port.load(id);
    if (now === undefined || !same_lineage(now.metadata, record.metadata)) {
      return "again"; // moved while its parents were read: these may have been cut already
    }
    return { revision: await write_whole(port, record, messages) };
  });
}

/** Gives a fork what it inherited from a session that was cut or deleted, from memory. */
async function give_back(port: StorePort, id: string, parent_id: string, history: readonly Message[]): Promise<void> {
  await until_settled(id, async (attempt) => {
    const record = await port.load(id);
    if (record === undefined || record.metadata.parent_id !== parent_id || !inherits(record.metadata)) {
      return undefined;
    }
    if (!is_of(record.metadata, history) && attempt <= PATIENCE.times) {
      return pause(); // of a history that another manager has cut, and has in memory
    }
    const { count } = fork_point(record.metadata, history);
    await write_whole(port, record, [...history.slice(0, count), ...record.messages]);
    return undefined;
  });
}

/** The forks of a session that inherit more than its first `common` messages. */
export async function stranded_forks(
  port: StorePort,
  id: string,
  history: readonly Message[],
  common: number,
): Promise<SessionMetadata[]> {
  return (await port.forks_of(id)).filter((fork) => fork_point(fork, history).count > common);
}

/** Of these forks, those that still inherit from `from` inherit from `to` then. */
export async function move_forks(
  port: StorePort,
  forks: readonly SessionMetadata[],
  from: string,
  to: string,
): Promise<void> {
  for (const { id } of forks) {
    await until_settled(id, async () => {
      const metadata = (await port.load(id))?.metadata;
      if (metadata !== undefined && metadata.parent_id === from && inherits(metadata)) {
        await port.update(id, { parent_id: to, updated_at: metadata.updated_at });
      }
    });
  }
}

/**
 * After a session was cut to its first `common` messages: forks of what it held before, made meanwhile, inherit from
 * the session that holds that now, or, where none does, hold it themselves.
 */
export async function keep_forks_of_cut(
  port: StorePort,
  id: string,
  { history, common, kept_as }: { history: readonly Message[]; common: number; kept_as: string | undefined },
): Promise<void> {
  const stranded = await stranded_forks(port, id, history, common);
  const late = stranded.filter((fork) => is_of(fork, history));
  if (kept_as !== undefined) {
    return move_forks(port, late, id, kept_as);
  }
  for (const fork of late) {
    await give_back(port, fork.id, id, history);
  }
}

/** Whether a fork is one of this history, and not of what came after it; without ids that is not always certain. */
function is_of(fork: SessionMetadata, history: readonly Message[]): boolean {
  const { count, missing } = fork_point(fork, history);
  return missing === undefined && count >= (fork.fork_message_count ?? count);
}

/** After a session was deleted: forks made meanwhile hold what they inherited from it themselves. */
export async function keep_forks_of_deleted(port: StorePort, id: string, history: readonly Message[]): Promise<void> {
  for (const fork of await port.forks_of(id)) {
    await give_back(port, fork.id, id, history);
  }
}

/**
 * After a fork was written: where its parent is not what it was, and the fork's history not what was meant, the fork
 * holds all of it itself. Returns whether it does so now.
 */
export async function secure_fork(
  port: StorePort,
  id: string,
  parent: StoredSession,
  meant: Messages,
): Promise<MadeWhole | undefined> {
  return until_settled(id, async () => {
    if (is_as_before(parent, await port.load(parent.metadata.id))) {
      return undefined;
    }
    const resolved = await port.resolve(id, { cut_cycles: true });
    if (resolved === undefined) {
      return undefined; // deleted with its parent
    }
    const { record, messages } = resolved;
    if (!begins_with(messages, port.as_stored(meant))) {
      return { revision: await write_whole(port, record, meant) };
    }
    return inherits(record.metadata) ? undefined : { revision: record.revision };
  });
}

function is_as_before(known: StoredSession, now: StoredSession | undefined): boolean {
  if (now === undefined || !same_lineage(known.metadata, now.metadata)) {
    return false;
  }
  return known.revision === undefined
    ? now.messages.length === known.messages.length && begins_with(now.messages, known.messages)
    : now.revision === known.revision;
}

/** The record of the parent that a session inherits from. */
export function parent_record({ chain }: ResolvedSession): StoredSession | undefined {
  return chain[1];
}
