import { createClient } from "redis";
import { RedisSessionStore } from "@simulacra-ai/session/redis";

const clients = new WeakMap();

async function connect() {
  const client = createClient({ url: "redis://127.0.0.1:6379", socket: { reconnectStrategy: false } });
  return client.on("error", (error) => console.error(error)).connect();
}

export async function open(prefix) {
  const client = await connect();
  const store = new RedisSessionStore(client, { prefix });
  clients.set(store, client);
  return store;
}

export const close = (store) => clients.get(store).close();

/** Removes the keys of a prefix. */
export async function empty(prefix) {
  const client = await connect();
  for await (const keys of client.scanIterator({ MATCH: `{${prefix}:*`, COUNT: 1000 })) {
    await client.unlink([`${prefix}:index`, ...keys]);
  }
  await client.unlink(`${prefix}:index`);
  await client.close();
}

export { empty as remove };
