import { createHash } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "@simulacra-ai/session";
import { session_key } from "../../src/stores/redis/redis-keys.js";
import type { ByHand } from "./backend.js";
import type { RedisClient } from "./redis-client.js";

/** Arguments: the revision that is expected, the new one, metadata, date, id, messages. */
const APPEND = `
if redis.call('HGET', KEYS[1], 'rev') ~= ARGV[1] then
  return 0
end
redis.call('RPUSH', KEYS[2], unpack(ARGV, 6))
redis.call('HSET', KEYS[1], 'rev', ARGV[2], 'meta', ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[5])
return 1
`;
const SHA1 = createHash("sha1").update(APPEND).digest("hex");

export function hand_keys(prefix: string) {
  return {
    index: `${prefix}:hand-index`,
    messages: (id: string) => `${prefix}:hand-messages:${id}`,
  };
}

/**
 * A list a session, and an index by date, all on one server. An append is one script: the process that writes a session
 * knows its metadata, as nobody else writes them; of drafts, expiry and clusters nothing is known.
 */
export function redis_by_hand(client: RedisClient, prefix: string): ByHand {
  const keys = hand_keys(prefix);
  const known = new Map<string, { revision: number; metadata: SessionMetadata }>();
  return {
    create: async (id) => {
      const date = new Date();
      const updated_at = date.toISOString();
      const metadata: SessionMetadata = { id, created_at: updated_at, updated_at, kind: "root", message_count: 0 };
      await client.scriptLoad(APPEND);
      await client.hSet(session_key(prefix, id), { rev: "0", meta: JSON.stringify(metadata) });
      await client.zAdd(keys.index, { score: date.getTime(), value: id });
      known.set(id, { revision: 0, metadata });
    },
    append: async (id, messages) => {
      const session = known.get(id);
      if (session === undefined) {
        throw new Error(`there is no session ${id}`);
      }
      const date = new Date();
      const revision = session.revision + 1;
      const message_count = session.metadata.message_count + messages.length;
      const metadata = { ...session.metadata, updated_at: date.toISOString(), message_count };
      const done = await client.evalSha(SHA1, {
        keys: [session_key(prefix, id), keys.messages(id), keys.index],
        arguments: [
          String(session.revision),
          String(revision),
          JSON.stringify(metadata),
          String(date.getTime()),
          id,
          ...messages.map((message) => JSON.stringify(message)),
        ],
      });
      if (done !== 1) {
        throw new Error(`session ${id} was changed by another writer`);
      }
      known.set(id, { revision, metadata });
    },
    load: async (id) => {
      const [meta, texts] = await client
        .multi()
        .hGet(session_key(prefix, id), "meta")
        .lRange(keys.messages(id), 0, -1)
        .execTyped();
      return {
        metadata: JSON.parse(meta ?? "") as SessionMetadata,
        messages: texts.map((text) => JSON.parse(text) as Message),
      };
    },
    list: async (limit) => {
      const ids = await client.zRange(keys.index, 0, limit - 1, { REV: true });
      const metas = await Promise.all(ids.map((id) => client.hGet(session_key(prefix, id), "meta")));
      return metas.map((meta) => JSON.parse(meta ?? "") as SessionMetadata);
    },
  };
}
