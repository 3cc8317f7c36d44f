import { RedisSessionStore } from "@simulacra-ai/session/redis";
import { place_of, session_key } from "../../src/stores/redis/redis-keys.js";
import type { Backend, FilledSession } from "./backend.js";
import { new_name } from "./names.js";
import { hand_keys, redis_by_hand } from "./redis-by-hand.js";
import { connect_redis, type RedisClient } from "./redis-client.js";

const PORTION = 500;

export const REDIS: Backend = {
  name: "Redis",
  reach: async () => {
    const client = await connect_redis();
    await client.close();
  },
  open: async () => {
    const root = new_name();
    const client = await connect_redis();
    const prefix_of = (name: string) => `${root}:${name}`;
    return {
      tables: async (name) => {
        const prefix = prefix_of(name);
        const store = new RedisSessionStore(client, { prefix });
        return { store, by_hand: redis_by_hand(client, prefix), fill: (filled) => fill(client, prefix, filled) };
      },
      address: (name) => ({ kind: "redis", prefix: prefix_of(name) }),
      close: async () => {
        await client.close(); // what was sent is done then
        await remove_keys(root);
      },
    };
  },
};

async function remove_keys(root: string): Promise<void> {
  const client = await connect_redis();
  try {
    for (const pattern of [`{${root}:*`, `${root}:*`]) {
      for await (const keys of client.scanIterator({ MATCH: pattern, COUNT: 1000 })) {
        if (keys.length > 0) {
          await client.unlink(keys);
        }
      }
    }
  } finally {
    await client.close();
  }
}

/** The index that is made by hand has them, too, and finds the same metadata. */
async function fill(client: RedisClient, prefix: string, filled: readonly FilledSession[]): Promise<void> {
  for (let at = 0; at < filled.length; at += PORTION) {
    const portion = client.multi();
    const members: string[] = [];
    const scores: { value: string; score: number }[] = [];
    for (const [n, { metadata, messages }] of filled.slice(at, at + PORTION).entries()) {
      const { position, kind, parent } = place_of(metadata);
      const entry = `${position} ${String(Date.now())}-${at + n} - ${kind} ${parent}`;
      members.push(`a ${entry}`, `k${kind} ${entry}`);
      scores.push({ value: metadata.id, score: Date.parse(metadata.updated_at) });
      portion.hSet(session_key(prefix, metadata.id), {
        meta: JSON.stringify(metadata),
        rev: `revision ${at + n}`,
        n: String(messages.length),
        entry,
        ...Object.fromEntries(messages.entries()),
      });
    }
    portion.zAdd(
      `${prefix}:index`,
      members.map((value) => ({ value, score: 0 })),
    );
    portion.zAdd(hand_keys(prefix).index, scores);
    await portion.execAsPipeline();
  }
}
