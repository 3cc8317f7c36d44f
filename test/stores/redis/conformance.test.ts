import { register } from "@simulacra-ai/session/conformance";
import { afterAll, beforeAll, describe, test } from "vitest";
import { new_prefix } from "./clients.js";
import { HAS_SHARED, use_shared } from "./servers.js";

const KILLED = new_prefix();

describe.skipIf(!HAS_SHARED)("rule 28: RedisSessionStore on one server", () => {
  const { open } = use_shared();
  let last = "";
  const again = () => open({ prefix: last }).store;
  beforeAll(() => {
    process.env["REDIS_TEST_PREFIX"] = KILLED; // for the processes that are killed
  });
  afterAll(() => {
    delete process.env["REDIS_TEST_PREFIX"];
  });
  register(test, {
    open: () => {
      const { store, prefix } = open();
      last = prefix;
      open({ prefix: KILLED }); // is removed with this one
      return store;
    },
    reopen: again,
    open_second: again,
    kills: {
      module: new URL("redis-store-module.ts", import.meta.url).href,
      rounds: 2,
      node_options: ["--import", "tsx"],
    },
  });
});
