import { createClient } from "redis";

export type RedisClient = ReturnType<typeof redis_client>;

const URL = "redis://127.0.0.1:6379/11";

function redis_client() {
  // A client that tries again for ever would never say that there is no server.
  return createClient({ url: URL, socket: { reconnectStrategy: false, connectTimeout: 5000 } });
}

export async function connect_redis(): Promise<RedisClient> {
  const client = redis_client().on("error", () => undefined); // the command that is under way fails as well
  await client.connect();
  return client;
}
