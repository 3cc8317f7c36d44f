import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import { connect, SHARED_URL, type Client } from "./clients.js";

const clients = new WeakMap<RedisSessionStore, Client>();

/** All places are one: the environment says which, so that whoever runs the test can remove it. */
export async function open(): Promise<RedisSessionStore> {
  const client = connect(SHARED_URL);
  await client.connect();
  const store = new RedisSessionStore(client, { prefix: process.env["REDIS_TEST_PREFIX"] ?? "" });
  clients.set(store, client);
  return store;
}

export async function close(store: RedisSessionStore): Promise<void> {
  await clients.get(store)?.close();
}
