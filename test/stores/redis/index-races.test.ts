import { describe, expect, test } from "vitest";
import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import { before, HookedClient } from "./hooked-client.js";
import { HAS_SHARED, use_shared } from "./servers.js";

/** As on a cluster, where the entry is made before the session is written. */
const IN_STEPS = { is_cluster: true };
const DATES = ["2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z", "2024-01-03T00:00:00.000Z"] as const;

describe.skipIf(!HAS_SHARED)("writers and readers of the index of sessions in Redis", () => {
  const { client, open } = use_shared();
  const ids = async (store: RedisSessionStore, limit?: number) =>
    (await store.list(limit === undefined ? {} : { limit })).map(({ id }) => id);

  test("rule 57.2: a list between the entry and the session leaves the entry alone, though the writer dies after that", async () => {
    const { store, prefix } = open();
    await store.save("moved", [], { updated_at: DATES[0] });
    for (const id of ["new", "moved"]) {
      const fate = async (command: number) => {
        if (command === 3) {
          await store.list();
        }
        return command === 4 ? "lost" : "runs";
      };
      const dying = new HookedClient(client, fate, IN_STEPS);
      await new RedisSessionStore(dying.client, { prefix }).save(id, [], { updated_at: DATES[1] });
      expect(dying.commands).toBe(4);
      expect(await ids(store)).toContain(id);
      expect(await ids(store, 1)).toEqual([id === "new" ? "new" : "moved"]);
    }
  });

  test("rule 57.2: a writer that was so slow that its entry was taken away brings it back", async () => {
    const { store, prefix } = open();
    const index = `${prefix}:index`;
    const taking_away = before(3, async () => client.zRem(index, await client.zRange(index, 0, -1)));
    const slow = new HookedClient(client, taking_away, IN_STEPS);
    await new RedisSessionStore(slow.client, { prefix }).save("s", [], { parent_id: "p" });
    expect(await ids(store)).toEqual(["s"]);
    expect((await store.list({ parent_id: "p" })).length).toBe(1);
    await store.update("s", { label: "l" });
    await store.delete("s");
    expect(await client.exists(index)).toBe(0);
  });

  test("rules 21 and 57.2: a session that moves forward while it is listed is listed once", async () => {
    const { store, prefix } = open();
    await store.save("a", [], { updated_at: DATES[1] });
    await store.save("b", [], { updated_at: DATES[0] });
    const reading = new HookedClient(
      client,
      before(2, () => store.update("b", { updated_at: DATES[2] })),
    );
    expect(await ids(new RedisSessionStore(reading.client, { prefix }))).toEqual(["b", "a"]);
  });

  test("rules 21 and 57.2: a session that moves back while a page is read makes room for the next", async () => {
    const { store, prefix } = open();
    await store.save("a", [], { updated_at: DATES[2] });
    await store.save("b", [], { updated_at: DATES[1] });
    await store.save("c", [], { updated_at: DATES[1] });
    const reading = new HookedClient(
      client,
      before(2, () => store.update("a", { updated_at: DATES[0] })),
    );
    expect(await ids(new RedisSessionStore(reading.client, { prefix }), 1)).toEqual(["b"]);
    expect(await ids(store)).toEqual(["b", "c", "a"]);
  });

  test("rules 21 and 57.2: a session that moves to the front while a long list is read is in it", async () => {
    const { store, prefix } = open();
    const date = (n: number) => new Date(1.6e12 - 1000 * n).toISOString();
    const fork = { parent_id: "p", kind: "fork" } as const;
    const names = Array.from({ length: 600 }, (_, n) => `s${n}`);
    await Promise.all(names.map((id, n) => store.save(id, [], { updated_at: date(n), ...fork })));
    for (const query of [
      {},
      { parent_id: "p" },
      { kinds: ["fork" as const] },
      { parent_id: "p", kinds: ["fork" as const] },
    ]) {
      for (let at = 1; at < 6; at += 1) {
        await store.update("s599", { updated_at: date(599) });
        const reading = new HookedClient(
          client,
          before(at, () => store.update("s599", { label: "touched" })),
        );
        const found = await new RedisSessionStore(reading.client, { prefix }).list(query);
        expect(new Set(found.map(({ id }) => id))).toEqual(new Set(names));
      }
    }
  });

  test("rules 21 and 57.2: of few, one that moves to the front while what is past is passed over is in it", async () => {
    const { store, prefix } = open();
    await store.save("a", [], { updated_at: DATES[1] });
    await store.save("b", [], { updated_at: DATES[0] });
    const [entry = ""] = (await client.zRange(`${prefix}:index`, 0, -1)).filter((member) => member.includes("~a "));
    await client.zAdd(`${prefix}:index`, { score: 0, value: entry.replace("~a ", "~gone ") });
    for (let at = 1; at < 5; at += 1) {
      await store.update("a", { updated_at: DATES[1] });
      const reading = new HookedClient(
        client,
        before(at, () => store.update("a", { updated_at: DATES[2] })),
      );
      expect(await ids(new RedisSessionStore(reading.client, { prefix }), 1)).toEqual(["a"]);
    }
  });

  test("rules 21 and 57.2: a session that is deleted or expires while it is listed is not there", async () => {
    const { store, prefix } = open();
    await store.save("a", []);
    await store.save("b", []);
    const reading = new HookedClient(
      client,
      before(2, () => store.delete("b")),
    );
    expect(await ids(new RedisSessionStore(reading.client, { prefix }))).toEqual(["a"]);
  });
});
