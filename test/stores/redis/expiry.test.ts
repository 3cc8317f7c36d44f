import { describe, expect, test } from "vitest";
import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import { user } from "../../support/messages.js";
import { HAS_SHARED, use_shared } from "./servers.js";

const DRAFT = { prompt: user("typed", "p"), updated_at: "2024-01-01T00:00:00.000Z" };

describe.skipIf(!HAS_SHARED)("rule 57.4: with ttl_seconds", () => {
  const { client, open } = use_shared();
  const key = (prefix: string, id = "s") => `{${prefix}:${id}}:session`;
  const entries_of = async (prefix: string, id: string) =>
    (await client.zRange(`${prefix}:index`, 0, -1)).filter((member) => member.includes(`~${id} `));
  const gone = async (prefix: string, id: string) => {
    while ((await client.exists(key(prefix, id))) > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };

  test("every change renews the time that a session has, and one without it ends that", async () => {
    const { store, prefix } = open({ ttl_seconds: 1000 });
    const revision = async () => (await store.load("s"))?.revision ?? "";
    const changes = [
      () => store.save("s", [user("one")]),
      async () => store.append("s", [user("two")], { revision: await revision() }),
      async () => store.append("s", [], { revision: await revision() }),
      async () => store.replace("s", [user("three")], { revision: await revision() }),
      () => store.update("s", { label: "l" }),
      () => store.set_draft("s", DRAFT),
      () => store.set_draft("s", undefined),
    ];
    for (const change of changes) {
      await change();
      expect(await client.ttl(key(prefix))).toBeGreaterThan(900);
      await client.expire(key(prefix), 100);
    }
    await store.load("s");
    await store.list();
    expect(await client.ttl(key(prefix))).toBeLessThan(101);
    const { store: permanent } = open({ prefix });
    await permanent.update("s", { label: "kept" });
    expect(await client.ttl(key(prefix))).toBe(-1);
  });

  test("a session expires as a whole, is no longer listed, and leaves nothing", async () => {
    const { store, prefix } = open({ ttl_seconds: 0.05 });
    await store.save("s", [user("one")], { parent_id: "p" });
    await store.set_draft("s", DRAFT);
    await gone(prefix, "s");
    expect(await store.load("s")).toBeUndefined();
    expect((await entries_of(prefix, "s")).length).toBeGreaterThan(0);
    expect(await store.list()).toEqual([]);
    expect(await client.keys(`*${prefix}*`)).toEqual([]);
  });

  test("writers clean the index of what has expired, though nobody lists, and of nothing else", async () => {
    const { store, prefix } = open({ ttl_seconds: 0.05 });
    for (let n = 0; n < 20; n += 1) {
      await store.save(`s${n}`, []);
    }
    await store.save("kept", []);
    await client.persist(key(prefix, "kept"));
    await gone(prefix, "s19");
    const { store: other } = open({ prefix });
    for (let n = 0; n < 3; n += 1) {
      await other.save("other", []);
    }
    expect(await entries_of(prefix, "s0")).toEqual([]);
    expect(await entries_of(prefix, "s19")).toEqual([]);
    expect((await other.list()).map(({ id }) => id).sort()).toEqual(["kept", "other"]);
    expect(new RedisSessionStore(client, { prefix, ttl_seconds: 1 })).toBeDefined();
  });
});
