import { randomUUID } from "node:crypto";
import { has_code, session_not_found } from "../errors.js";
import { count_through } from "../lineage.js";
import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "../types.js";
import { move_forks, store_version, stranded_forks } from "./replaced-history.js";
import type { Metadata, StorePort } from "./store-port.js";

const ATTEMPTS = 8;

/** A session that was cut after a message, and how to take that back. */
export interface Rewound {
  /** The fork with what was cut off. */
  fork_id: string;
  messages: Message[];
  inherited: number;
  metadata: SessionMetadata;
  revision: string | undefined;
  undo: () => Promise<void>;
}

/**
 * Cuts a stored session after a message. What is cut off is stored first, as a fork; forks whose fork point is cut
 * off inherit from that one. Returns `undefined` where there is nothing behind the message.
 * @throws {SessionError} `not_found`, `invalid_input` where the session has no such message.
 */
async function rewind_session(port: StorePort, id: string, message_id: string): Promise<Rewound | undefined> {
  const resolved = await port.resolve(id);
  if (resolved === undefined) {
    throw session_not_found(id);
  }
  const { record, inherited } = resolved;
  const { metadata } = record;
  const count = count_through(resolved.messages, message_id, id);
  if (count === resolved.messages.length) {
    return undefined;
  }
  const messages = resolved.messages.slice(0, count);
  const cuts_inherited = count < inherited;
  const fork_point: Metadata = { fork_message_id: message_id, fork_message_count: count };
  const { checkpoint_state } = metadata;
  const loses_checkpoint =
    checkpoint_state !== undefined && !messages.some((message) => message.id === checkpoint_state.message_id);

  const fork_id = randomUUID();
  const stranded = await stranded_forks(port, id, count);
  const change = {
    ...(cuts_inherited && fork_point),
    ...(loses_checkpoint && { checkpoint_state: null }),
  } as Metadata;
  const remove_fork = async () => {
    await move_forks(port, stranded, id);
    await port.store.delete(fork_id);
  };
  let revision: string | undefined;
  try {
    if (cuts_inherited) {
      await store_version(port, fork_id, metadata, record.messages, "rewound");
    } else {
      const { detached: _detached, ...as_fork } = metadata;
      const tail = record.messages.slice(count - inherited);
      await store_version(port, fork_id, as_fork, tail, "rewound", { parent_id: id, ...fork_point });
    }
    await move_forks(port, stranded, fork_id);
    const kept = record.messages.slice(0, Math.max(0, count - inherited));
    revision = await port.put(id, kept, change, record.revision ?? null);
  } catch (error) {
    await remove_fork().catch(() => undefined); // the first error says more
    throw error;
  }
  return {
    fork_id,
    messages,
    inherited: Math.min(inherited, count),
    metadata: { ...metadata, ...change },
    revision,
    undo: async () => {
      const added = Object.fromEntries(Object.keys(change).map((key) => [key, null])) as unknown as Metadata;
      await port.put(id, record.messages, { ...added, ...metadata }, revision ?? null);
      await remove_fork();
    },
  };
}

/** The same, again where another writer comes between. */
export async function rewind_latest(port: StorePort, id: string, message_id: string): Promise<Rewound | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await rewind_session(port, id, message_id);
    } catch (error) {
      if (!has_code(error, "conflict") || attempt === ATTEMPTS) {
        throw error;
      }
    }
  }
}
