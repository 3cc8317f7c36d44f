import { has_capability } from "../../capabilities.js";
import { has_code, SessionError } from "../../errors.js";
import type { SessionMetadata, StoredSession } from "../../types.js";
import type { Epoch } from "../conversation.js";
import type { ManagerParts } from "../current-session.js";
import { keep_forks_of_deleted, materialize } from "../fork-protection.js";
import type { StoredState } from "../session-state.js";
import type { StoreAccess, Written } from "../store-access.js";
import type { DeleteOptions } from "../types.js";

type ForkPolicy = NonNullable<DeleteOptions["forks"]>;

/** @throws {SessionError} `invalid_input`. */
export function require_fork_policy(policy: unknown): asserts policy is ForkPolicy {
  if (policy !== "keep" && policy !== "refuse" && policy !== "cascade") {
    throw new SessionError("invalid_input", `forks must be "keep", "refuse" or "cascade", not ${String(policy)}`);
  }
}

/**
 * Deletes a session, and clears the conversation where it is the current one. Nothing that was asked for of a deleted
 * session is written any more. Returns whether there was such a session.
 * @throws {SessionError} `invalid_state` where the policy is to refuse, or the conversation went on. Nothing is deleted.
 */
export async function delete_session(
  parts: ManagerParts,
  { id, policy, epoch, current_id }: { id: string; policy: ForkPolicy; epoch: Epoch; current_id: string | undefined },
): Promise<boolean> {
  const { store, events, current, conversation } = parts;
  const doomed = policy === "cascade" ? await store.with_descendants([id]) : [id];
  const takes_current = [current_id, current.id].some((one) => one !== undefined && doomed.includes(one));
  const require_unmoved = () => {
    if (takes_current) {
      conversation.require_unmoved(epoch);
    }
  };
  require_unmoved();
  if (policy === "refuse") {
    await require_no_forks(store, id);
  }
  if (policy !== "cascade") {
    const released = await release_forks(store, id);
    const whole = current.id === undefined ? undefined : released.get(current.id);
    if (whole !== undefined) {
      current.session?.make_self_contained(whole.revision);
    }
  }
  const { existed, history } = await exclusively(parts, doomed, async () => {
    const history = await store.readable_history(id);
    return { history, existed: await delete_all(parts, doomed, require_unmoved) };
  });
  try {
    if (existed) {
      await (policy === "cascade" ? delete_late(parts, doomed) : keep_forks_of_deleted(store, id, history));
    } // otherwise forks that are made meanwhile are of a session that was begun meanwhile
  } catch (error) {
    events.report(error, "delete", { session_id: id }); // the session itself is deleted
  }
  return existed;
}

/**
 * Deletes a session of this many messages, inherited ones included, unless somebody has gone on in it. Its forks keep what
 * they inherit.
 */
export async function delete_untouched(store: StoreAccess, id: string, count: number): Promise<void> {
  await release_forks(store, id);
  const resolved = await store.resolve_readable(id);
  if (resolved === undefined || resolved === "damaged" || resolved.messages.length !== count) {
    return;
  }
  const now = await store.load(id); // once more, since resolving reads the parents behind it
  if (now?.messages.length !== resolved.record.messages.length) {
    return;
  }
  await store.store.delete(id);
  await keep_forks_of_deleted(store, id, resolved.messages);
}

/**
 * Deletes sessions while nothing writes them. Writes in flight, of children and of drafts, are waited for. What was
 * wanted of the sessions is given up, unless the deletion fails.
 */
async function exclusively<T>(
  { family, queue, events }: ManagerParts,
  ids: readonly string[],
  task: () => Promise<T>,
): Promise<T> {
  const states: StoredState[] = ids.map((id) => family.state_of(id));
  const unlock: (() => void)[] = [];
  try {
    for (const state of states) {
      unlock.push(await state.lock());
      state.deletion = "under way"; // no draft begins from here on
      await Promise.allSettled(state.draft_calls);
    }
    const result = await task();
    states.forEach((state) => (state.deletion = "done"));
    family.dirty_states(ids).forEach(([owner, state]) => owner.forget(state));
    for (const id of ids) {
      events.failures.forget(id);
      family.unflushed.delete(id);
    }
    return result;
  } catch (error) {
    states.forEach((state) => (state.deletion = undefined));
    queue.dirty.forEach((state) => queue.save_in_background(state));
    throw error;
  } finally {
    unlock.forEach((release) => release());
  }
}

async function require_no_forks(store: StoreAccess, id: string): Promise<void> {
  const forks = await other_forks_of(store, id);
  if (forks.length > 0) {
    throw new SessionError("invalid_state", `session ${id} has forks that inherit from it: ${forks.length}`, {
      session_id: id,
    });
  }
}

/** Writes the messages that forks inherit from a session into the forks. Returns the forks that hold them now. */
async function release_forks(store: StoreAccess, id: string): Promise<Map<string, Written>> {
  const released = new Map<string, Written>();
  for (const fork of await other_forks_of(store, id)) {
    const whole = await materialize(store, fork.id, id);
    if (whole !== undefined) {
      released.set(fork.id, whole);
    }
  }
  return released;
}

async function other_forks_of(store: StoreAccess, id: string): Promise<SessionMetadata[]> {
  return (await store.forks_of(id)).filter((fork) => fork.id !== id);
}

/** Deletes the sessions that have come to descend from deleted ones meanwhile. */
async function delete_late(parts: ManagerParts, deleted: readonly string[]): Promise<void> {
  const gone = new Set(deleted);
  const late = (await parts.store.with_descendants(deleted)).filter((id) => !gone.has(id));
  if (late.length > 0) {
    await exclusively(parts, late, async () => {
      for (const id of late) {
        await parts.store.store.delete(id);
      }
    });
  }
}

/**
 * Deletes sessions and, where the current one is among them, clears its conversation. Where the conversation went on
 * meanwhile, the sessions are stored again. Returns whether the last one existed.
 */
async function delete_all(parts: ManagerParts, ids: readonly string[], require_unmoved: () => void): Promise<boolean> {
  const { store, current, conversation } = parts;
  const session = current.session !== undefined && ids.includes(current.session.id) ? current.session : undefined;
  const records = session ? await load_records(store, ids) : [];
  const live = session ? conversation.messages : [];
  require_unmoved();
  let existed = false;
  try {
    for (const id of ids) {
      existed = await store.store.delete(id);
    }
    if (session !== undefined) {
      require_unmoved();
      conversation.clear();
      current.activate(undefined);
    }
  } catch (error) {
    if (session !== undefined) {
      session.shared.may_be_gone = true;
      for (const record of records.reverse()) {
        await restore(parts, record).catch(() => undefined); // the first error says more
      }
      parts.queue.want_again(session, live); // stores it where it could not be restored
    }
    throw error;
  }
  return existed;
}

async function restore({ store }: ManagerParts, { metadata, messages, draft }: StoredSession): Promise<void> {
  await store.put(metadata.id, messages, metadata, null);
  if (draft !== undefined && has_capability(store.store, "set_draft")) {
    await store.store.set_draft(metadata.id, draft);
  }
}

/** Returns the sessions that can be read. */
async function load_records(store: StoreAccess, ids: readonly string[]): Promise<StoredSession[]> {
  const records: StoredSession[] = [];
  for (const id of ids) {
    try {
      const record = await store.load(id);
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
