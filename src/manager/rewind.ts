import { randomUUID } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { has_code, session_not_found } from "../errors.js";
import { count_through, type ResolvedSession } from "../lineage.js";
import type { SessionMetadata } from "../types.js";
import { delete_keeping_forks } from "./delete-session.js";
import { keep_forks_of_cut, move_forks, parent_record, secure_fork, stranded_forks } from "./inheritance.js";
import { store_version } from "./replaced-history.js";
import type { Metadata, StorePort } from "./store-port.js";
import { begins_with } from "./timeline.js";

const ATTEMPTS = 8;

/** A session that was cut after a message, and how to take that back. */
export interface Rewound {
  /** The fork with what was cut off; `undefined`: there was nothing behind the message. */
  fork_id: string | undefined;
  messages: Message[];
  inherited: number;
  metadata: SessionMetadata;
  revision: string | undefined;
  undo: () => Promise<void>;
  /** Looks after forks that were made while the session was being cut. */
  keep_late_forks: () => Promise<void>;
}

/**
 * Cuts a stored session after a message. What is cut off is stored first, as a fork with the given id; forks whose fork
 * point is cut off inherit from that one.
 * @throws {SessionError} `not_found`, `invalid_input` where the session has no such message.
 */
async function rewind_session(
  port: StorePort,
  { id, message_id, fork_id }: { id: string; message_id: string; fork_id: string },
): Promise<Rewound> {
  const resolved = await port.resolve(id);
  if (resolved === undefined) {
    throw session_not_found(id);
  }
  const { record, inherited, messages: history } = resolved;
  const { metadata } = record;
  const count = count_through(history, message_id, id);
  const messages = history.slice(0, count);
  const rewound = { messages, inherited: Math.min(inherited, count), metadata };
  if (count === history.length) {
    const nothing = () => Promise.resolve();
    return { ...rewound, fork_id: undefined, revision: record.revision, undo: nothing, keep_late_forks: nothing };
  }
  const cuts_inherited = count < inherited;
  const fork_point: Metadata = { fork_message_id: message_id, fork_message_count: count };
  const { checkpoint_state } = metadata;
  const loses_checkpoint =
    checkpoint_state !== undefined && !messages.some((message) => message.id === checkpoint_state.message_id);
  const change = {
    ...(cuts_inherited && fork_point),
    ...(loses_checkpoint && { checkpoint_state: null }),
  } as Metadata;

  const take_back = () => remove_tail(port, resolved, fork_id, count);
  let revision: string | undefined;
  try {
    if (cuts_inherited) {
      await store_version(port, fork_id, metadata, record.messages, "rewound");
      const parent = parent_record(resolved);
      await (parent && secure_fork(port, fork_id, parent, history));
    } else {
      const { detached: _detached, ...as_fork } = metadata;
      const tail = record.messages.slice(count - inherited);
      await store_version(port, fork_id, as_fork, tail, "rewound", { parent_id: id, ...fork_point });
    }
    await move_forks(port, await stranded_forks(port, id, history, count), id, fork_id);
    const kept = record.messages.slice(0, Math.max(0, count - inherited));
    revision = await port.put(id, kept, change, record.revision ?? null);
  } catch (error) {
    await take_back().catch(() => undefined); // the first error says more
    throw error;
  }
  return {
    ...rewound,
    metadata: { ...metadata, ...change },
    fork_id,
    revision,
    undo: async () => {
      const before = new Map<string, unknown>(Object.entries(metadata));
      const changed = [...Object.keys(change), "updated_at"].map((key) => [key, before.get(key) ?? null]);
      await port.put(id, record.messages, Object.fromEntries(changed) as Metadata, revision ?? null);
      await take_back();
    },
    keep_late_forks: () => keep_forks_of_cut(port, id, { history, common: count, kept_as: fork_id }),
  };
}

/**
 * Removes the fork with the tail of a session that was not cut after all. Only where the session certainly holds all
 * of its history: a write that was reported as failed may have taken effect, and others write, too.
 */
async function remove_tail(
  port: StorePort,
  { record, messages: history }: ResolvedSession,
  fork_id: string,
  count: number,
): Promise<void> {
  const { id } = record.metadata;
  const holds_all = async () => begins_with((await port.resolve(id))?.messages ?? [], history);
  if (await holds_all()) {
    await move_forks(port, await port.forks_of(fork_id), fork_id, id);
    if (await holds_all()) {
      await delete_keeping_forks(port, fork_id);
      return;
    }
    await keep_forks_of_cut(port, id, { history, common: count, kept_as: fork_id });
  }
  await secure_fork(port, fork_id, record, history);
}

/** Cuts the newest state of a session: begins again where another writer comes between. */
export async function rewind_latest(port: StorePort, id: string, message_id: string): Promise<Rewound> {
  let kept_id: string | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const fork_id = randomUUID();
    try {
      const rewound = await rewind_session(port, { id, message_id, fork_id });
      return { ...rewound, fork_id: rewound.fork_id ?? kept_id };
    } catch (error) {
      if (!has_code(error, "conflict") || attempt === ATTEMPTS) {
        throw error;
      }
      kept_id = (await port.load(fork_id)) === undefined ? kept_id : fork_id; // what it holds may be nowhere else
    }
  }
}
