import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import { connect, new_prefix, remove_keys, SHARED_URL } from "./clients.js";

/** Stores on the machine's server, each with a prefix of its own, whose keys are gone when the store is closed. */
export async function start_redis() {
  const client = connect(SHARED_URL);
  await client.connect();
  const killed = new_prefix();
  process.env["REDIS_TEST_PREFIX"] = killed; // for processes to be killed
  return {
    open: async () => {
      const prefix = new_prefix();
      const open = () => new RedisSessionStore(client, { prefix });
      return { store: open(), reopen: async () => open(), close: () => remove_keys(client, [prefix]) };
    },
    close: async () => {
      delete process.env["REDIS_TEST_PREFIX"];
      await remove_keys(client, [killed]);
      await client.close();
    },
  };
}
