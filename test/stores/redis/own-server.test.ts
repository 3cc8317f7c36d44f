import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import { user } from "../../support/messages.js";
import { memory_place, new_directory, type NewDirectory } from "../../support/temporary-directory.js";
import { connect, type Client } from "./clients.js";
import { free_ports, HAS_SERVER, OwnServer } from "./servers.js";

describe.skipIf(!HAS_SERVER)("on a server that is killed", () => {
  let server: OwnServer;
  let client: Client;
  let directory: NewDirectory | undefined;
  beforeAll(async () => {
    const [port = 0] = await free_ports(1);
    directory = new_directory(memory_place());
    server = new OwnServer(port, directory.path, ["--appendonly", "yes", "--appendfsync", "always"]);
    await server.start();
    client = connect(server.url);
    await client.connect();
  });
  afterAll(async () => {
    client?.destroy();
    await server?.kill();
    directory?.remove();
  });

  test("rule 57.3: what was acknowledged is there when it has started again, and the same store goes on", async () => {
    const store = new RedisSessionStore(client);
    const acknowledged = new Map<string, string[]>();
    for (let round = 0; round < 3; round += 1) {
      const outcomes = new Set<string>();
      const write = async (id: string) => {
        const known = (await store.load(id))?.messages.map((one) => one.id ?? "") ?? [];
        acknowledged.set(id, known);
        let revision = (await store.load(id))?.revision ?? (await store.replace(id, [], { revision: null })).revision;
        for (;;) {
          const next = `${id} turn ${round} ${known.length}`;
          ({ revision } = await store.append(id, [user(next, next)], { revision }));
          known.push(next);
        }
      };
      const writers = ["a", "b", "c"].map((id) =>
        write(id).catch((error: unknown) => outcomes.add((error as { code: string }).code)),
      );
      while (![...acknowledged.values()].some((known) => known.length > 10 * (round + 1))) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      await server.kill();
      await server.start();
      await Promise.all(writers);
      expect([...outcomes]).toEqual(["storage"]);
      for (const [id, known] of acknowledged) {
        const found = (await store.load(id))?.messages.map((one) => one.id) ?? [];
        expect(found.slice(0, known.length)).toEqual(known);
        expect(found.length).toBeLessThanOrEqual(known.length + 1); // one was under way
      }
      expect((await store.list()).map(({ id }) => id).sort()).toEqual(["a", "b", "c"]);
    }
  });
});
