import { randomUUID } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { until_settled } from "../../async/retry.js";
import { has_code, SessionError } from "../../errors.js";
import { count_through, type ResolvedSession } from "../../lineage.js";
import { begins_with, has_message } from "../../messages.js";
import type { SessionMetadata } from "../../types.js";
import type { Epoch } from "../conversation.js";
import type { ManagerParts } from "../current-session.js";
import {
  materialize_forks,
  reparent_fork,
  protect_forks,
  secure_fork,
  store_version,
  type CutHistory,
} from "../fork-protection.js";
import { stored_at, type Metadata, type StoreAccess, type Written } from "../store-access.js";

/**
 * Cuts the current session after a message and loads the rest. Messages that are not saved yet are saved first. Starts
 * again if another writer, or a `save()`, comes between. Returns the id of the fork with the tail.
 */
export async function rewind_current(
  parts: ManagerParts,
  message_id: string,
  epoch: Epoch,
): Promise<string | undefined> {
  const { store, queue, events, family, current, conversation } = parts;
  conversation.require_no_turn_since(epoch);
  const session = current.require();
  const live = conversation.messages;
  current.request_save();
  await queue.save(session);
  conversation.require_no_turn_since(epoch);
  let kept_id: string | undefined;
  try {
    return await until_settled(session.id, async () => {
      if (session.is_dirty) {
        await queue.save(session); // save() was called meanwhile
        conversation.require_no_turn_since(epoch);
      }
      const { id } = session;
      const cut = plan_cut(id, await store.require_resolved(id), message_id);
      const { before, history, messages, change } = cut;
      const is_cut = messages.length < history.length;
      if (!is_cut && kept_id === undefined && messages.length >= live.length) {
        return undefined;
      }
      let written: Written | undefined;
      try {
        written = is_cut ? await make_cut(store, cut) : undefined;
        conversation.require_no_turn_since(epoch);
        if (session.is_dirty) {
          throw new SessionError("conflict", `session ${id} was saved while it was rewound`, { session_id: id });
        }
        const from = {
          inherited: Math.min(before.inherited, messages.length),
          ...(written ?? stored_at(before.record)),
        };
        current.load_into_conversation(session, { ...before.record.metadata, ...change }, messages, from);
      } catch (error) {
        session.mark_uncertain();
        await take_back(store, cut, written).catch(() => undefined); // the first error says more, and the tail is kept
        if (has_code(error, "conflict") && (await store.load(cut.kept_as))) {
          kept_id = cut.kept_as; // the tail may be stored nowhere else
        }
        throw error;
      }
      const fork_id = is_cut ? cut.kept_as : kept_id;
      family.unflushed.add(id).add(fork_id ?? id);
      session.protect_late_forks = () => protect_forks(store, id, cut, "after");
      queue.update_dirty(session);
      await queue.save(session).catch((error: unknown) => {
        events.emit_error(error, "rewind", { session_id: id }); // the session is rewound; `flush()` retries the rest
      });
      return fork_id;
    });
  } catch (error) {
    if (!has_code(error, "invalid_input")) {
      queue.request_save_again(session, live); // a failed cut may have taken effect
    }
    throw error;
  }
}

/** A cut of a session after a message. */
interface Cut extends CutHistory {
  id: string;
  before: ResolvedSession;
  /** The messages that remain, inherited ones included. */
  messages: Message[];
  change: Metadata;
  /** The fork with the messages that are cut off. */
  kept_as: string;
}

/** @throws {SessionError} `invalid_input` if the session has no such message. */
function plan_cut(id: string, before: ResolvedSession, message_id: string): Cut {
  const { messages: history, inherited, record } = before;
  const common = count_through(history, message_id, id);
  const messages = history.slice(0, common);
  const fork_point: Metadata = { fork_message_id: message_id, fork_message_count: common };
  const { checkpoint_state } = record.metadata;
  const loses_checkpoint = !!checkpoint_state && !has_message(messages, checkpoint_state.message_id);
  const change = {
    ...(common < inherited && fork_point),
    ...(loses_checkpoint && { checkpoint_state: null }),
  } as Metadata;
  return { id, before, history, common, messages, change, kept_as: randomUUID() };
}

/**
 * Cuts a stored session. The messages that are cut off are stored first, as a fork. Forks whose fork point is cut off
 * inherit from that fork.
 */
async function make_cut(store: StoreAccess, cut: Cut): Promise<Written> {
  const { id, before, history, common, messages, change, kept_as } = cut;
  const { detached: _detached, ...metadata } = before.record.metadata;
  const lineage = { parent_id: id, fork_message_id: messages.at(-1)?.id, fork_message_count: common } as Metadata;
  await store_version(store, { id: kept_as, suffix: "rewound" }, metadata, history.slice(common), lineage);
  await protect_forks(store, id, cut, "before");
  return store.put(id, messages.slice(before.inherited), change, before.record.revision ?? null);
}

/**
 * Reverts a cut that was written, and removes the fork.
 *
 * Hazard: a write that reported a failure may have taken effect, and other writers exist. So the fork is removed only
 * if the session certainly holds its whole history, and no writer has extended the fork.
 */
async function take_back(store: StoreAccess, cut: Cut, written: Written | undefined): Promise<void> {
  const { id, history, change, kept_as } = cut;
  const { record } = cut.before;
  if (written) {
    const keys = [...Object.keys(change), "updated_at"] as (keyof SessionMetadata)[];
    const changed = keys.map((key) => [key, record.metadata[key] ?? null]);
    await store.put(id, record.messages, Object.fromEntries(changed) as Metadata, written.revision ?? null);
  }
  const holds_all = async () => begins_with((await store.resolve(id))?.messages ?? [], history);
  if (await holds_all()) {
    for (const fork of await store.forks_of(kept_as)) {
      await reparent_fork(store, fork.id, kept_as, id);
    }
    if (await holds_all()) {
      await materialize_forks(store, kept_as);
      const resolved = await store.resolve(kept_as);
      const now = await store.load(kept_as); // once more, because `resolve` reads the parents after the fork
      if (resolved?.messages.length === history.length && now?.messages.length === resolved.record.messages.length) {
        await store.delete(kept_as);
        await materialize_forks(store, kept_as, history);
      }
      return;
    }
    await protect_forks(store, id, cut, "after");
  }
  await secure_fork(store, kept_as, record, history);
}
