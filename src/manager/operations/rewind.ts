import { randomUUID } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { has_code, SessionError } from "../../errors.js";
import { count_through, type ResolvedSession } from "../../lineage.js";
import type { SessionMetadata } from "../../types.js";
import type { Epoch } from "../conversation.js";
import type { ManagerParts } from "../current-session.js";
import {
  keep_forks_of_cut,
  move_forks,
  parent_record,
  secure_fork,
  store_version,
  stranded_forks,
} from "../fork-protection.js";
import { begins_with } from "../../messages.js";
import { stored_at, type Metadata, type StoreAccess, type Written } from "../store-access.js";
import { delete_untouched } from "./delete.js";

const ATTEMPTS = 8;

/**
 * Cuts the current session after a message and shows what remains. Messages that are not saved yet are part of the tail.
 * Returns the id of the fork with the tail, or `undefined` where there was nothing behind the message. Where it throws,
 * nothing has changed.
 */
export async function rewind_current(
  parts: ManagerParts,
  message_id: string,
  epoch: Epoch,
): Promise<string | undefined> {
  const { store, queue, events, current, conversation } = parts;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    conversation.require_unmoved(epoch);
    const session = current.require();
    const live = conversation.messages;
    current.note(session, live);
    queue.want(session, live);
    await queue.save(session);
    conversation.require_unmoved(epoch);
    let rewound: Rewound;
    try {
      rewound = await rewind_latest(store, session.id, message_id);
    } catch (error) {
      if (!has_code(error, "invalid_input")) {
        queue.want_again(session, live); // the cut may have taken effect, though it failed
      }
      throw error;
    }
    const { metadata, messages, inherited, written, fork_id } = rewound;
    if (fork_id === undefined && messages.length >= live.length) {
      return undefined;
    }
    try {
      conversation.require_unmoved(epoch);
      if (session.is_dirty) {
        throw again(session.id);
      }
      current.show(session, metadata, messages, { inherited, ...written });
    } catch (error) {
      session.doubt();
      await rewound.undo().catch(() => undefined); // the first error says more, and the tail lives on
      if (session.is_dirty && attempt < ATTEMPTS && has_code(error, "conflict")) {
        continue; // save() was called meanwhile
      }
      queue.want_again(session, live);
      throw error;
    }
    queue.wrote(session.id);
    if (fork_id !== undefined) {
      queue.wrote(fork_id);
    }
    await rewound.keep_late_forks().catch((error: unknown) => {
      events.report(error, "rewind", { session_id: session.id }); // the session itself is rewound
    });
    return fork_id;
  }
  throw again(current.require().id);
}

function again(session_id: string): SessionError {
  return new SessionError("conflict", `session ${session_id} was saved while it was rewound`, { session_id });
}

/** A session that was cut after a message. */
export interface Rewound {
  /** The fork with the messages that were cut off. `undefined` where there were none. */
  fork_id: string | undefined;
  messages: Message[];
  inherited: number;
  metadata: SessionMetadata;
  written: Written;
  /** Takes the cut back. */
  undo: () => Promise<void>;
  /** Protects forks that were made while the session was being cut. */
  keep_late_forks: () => Promise<void>;
}

/**
 * Cuts a stored session after a message. The messages that are cut off are stored first, as a fork with the given id.
 * Forks whose fork point is cut off inherit from that fork.
 * @throws {SessionError} `not_found`, `invalid_input` where the session has no such message.
 */
async function rewind_session(
  store: StoreAccess,
  { id, message_id, fork_id }: { id: string; message_id: string; fork_id: string },
): Promise<Rewound> {
  const resolved = await store.require_resolved(id);
  const { record, inherited, messages: history } = resolved;
  const { metadata } = record;
  const count = count_through(history, message_id, id);
  const messages = history.slice(0, count);
  const rewound = { messages, inherited: Math.min(inherited, count), metadata };
  if (count === history.length) {
    const written = stored_at(record);
    const nothing = () => Promise.resolve();
    return { ...rewound, fork_id: undefined, written, undo: nothing, keep_late_forks: nothing };
  }
  const cuts_inherited = count < inherited;
  const fork_point: Metadata = { fork_message_id: message_id, fork_message_count: count };
  const { checkpoint_state } = metadata;
  const loses_checkpoint =
    !!checkpoint_state && !messages.some((message) => message.id === checkpoint_state.message_id);
  const change = {
    ...(cuts_inherited && fork_point),
    ...(loses_checkpoint && { checkpoint_state: null }),
  } as Metadata;

  const take_back = () => remove_tail(store, resolved, fork_id, count);
  let written: Written;
  try {
    if (cuts_inherited) {
      await store_version(store, { id: fork_id, suffix: "rewound" }, metadata, record.messages);
      const parent = parent_record(resolved);
      await (parent && secure_fork(store, fork_id, parent, history));
    } else {
      const { detached: _detached, ...as_fork } = metadata;
      const tail = record.messages.slice(count - inherited);
      await store_version(store, { id: fork_id, suffix: "rewound" }, as_fork, tail, { parent_id: id, ...fork_point });
    }
    await move_forks(store, await stranded_forks(store, id, history, count), id, fork_id);
    const kept = record.messages.slice(0, Math.max(0, count - inherited));
    written = await store.put(id, kept, change, record.revision ?? null);
  } catch (error) {
    await take_back().catch(() => undefined); // the first error says more
    throw error;
  }
  return {
    ...rewound,
    metadata: { ...metadata, ...change },
    fork_id,
    written,
    undo: async () => {
      const before = new Map<string, unknown>(Object.entries(metadata));
      const changed = [...Object.keys(change), "updated_at"].map((key) => [key, before.get(key) ?? null]);
      const before_cut = Object.fromEntries(changed) as Metadata;
      await store.put(id, record.messages, before_cut, written.revision ?? null);
      await take_back();
    },
    keep_late_forks: () => keep_forks_of_cut(store, id, { history, common: count, kept_as: fork_id }),
  };
}

/**
 * Removes the fork with the tail of a session that was not cut after all.
 *
 * Hazard: a write that reported a failure may have taken effect, and other writers exist. So the fork is removed only
 * where the session certainly holds its whole history.
 */
async function remove_tail(
  store: StoreAccess,
  { record, messages: history }: ResolvedSession,
  fork_id: string,
  count: number,
): Promise<void> {
  const { id } = record.metadata;
  const holds_all = async () => begins_with((await store.resolve(id))?.messages ?? [], history);
  if (await holds_all()) {
    await move_forks(store, await store.forks_of(fork_id), fork_id, id);
    if (await holds_all()) {
      await delete_untouched(store, fork_id, history.length);
      return;
    }
    await keep_forks_of_cut(store, id, { history, common: count, kept_as: fork_id });
  }
  await secure_fork(store, fork_id, record, history);
}

/** Cuts the newest state of a session. Starts again where another writer comes between. */
export async function rewind_latest(store: StoreAccess, id: string, message_id: string): Promise<Rewound> {
  let kept_id: string | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const fork_id = randomUUID();
    try {
      const rewound = await rewind_session(store, { id, message_id, fork_id });
      return { ...rewound, fork_id: rewound.fork_id ?? kept_id };
    } catch (error) {
      if (!has_code(error, "conflict") || attempt === ATTEMPTS) {
        throw error;
      }
      kept_id = (await store.load(fork_id)) === undefined ? kept_id : fork_id; // its messages may be stored nowhere else
    }
  }
}
