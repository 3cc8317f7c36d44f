import { describe, expect, test } from "vitest";
import { apply_query } from "../../../src/metadata.js";
import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import type { SessionQuery } from "../../../src/types.js";
import { user } from "../../support/messages.js";
import { seeded_random } from "../../support/random.js";
import { HookedClient, WAYS, type Fate } from "./hooked-client.js";
import { HAS_SHARED, use_shared } from "./servers.js";

const DATES = ["2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z", "2024-01-03T00:00:00.000Z"] as const;
const QUERIES: readonly SessionQuery[] = [
  {},
  { limit: 1 },
  { parent_id: "q" },
  { parent_id: "p" },
  { kinds: ["root"] },
  { kinds: ["fork", "child"] },
];

describe.skipIf(!HAS_SHARED)("the index of sessions in Redis", () => {
  const { client, open } = use_shared();
  const members = (prefix: string) => client.zRange(`${prefix}:index`, 0, -1);

  test.each(WAYS)(
    "rules 21 and 57.2: after every command that may be the last of a process, the list says what load says: $way",
    async (way) => {
      const fates: readonly Fate[] = ["lost", "reply lost"];
      for (const fate of fates) {
        for (let last = 1; ; last += 1) {
          const { store: survivor, prefix } = open();
          await survivor.save("old", [user("one")], { updated_at: DATES[1], kind: "fork", parent_id: "p" });
          const fate_of = (command: number) => (command < last ? "runs" : command === last ? fate : "lost");
          const dying = new HookedClient(client, fate_of, way);
          const store = new RedisSessionStore(dying.client, { prefix });
          const steps = async () => {
            await store.save("new", [user("one")], { updated_at: DATES[0], kind: "child" });
            await store.save("old", [user("two")], { updated_at: DATES[2], kind: "root" });
            const revision = (await store.load("old"))?.revision ?? "";
            await store.append("old", [user("three")], {
              revision,
              metadata: { updated_at: DATES[0], parent_id: "q" },
            });
            await store.update("new", { updated_at: DATES[2] });
            await store.delete("old");
          };
          const outcome = await steps().then(
            () => "done",
            (error: { code?: string }) => error.code,
          );
          const there = (await Promise.all(["old", "new"].map((id) => survivor.load(id)))).flatMap((one) => one ?? []);
          const expected = apply_query(there.map(({ metadata }) => metadata));
          for (const query of QUERIES) {
            expect(await survivor.list(query), `command ${last} ${fate}`).toEqual(apply_query(expected, query));
          }
          if (dying.commands < last) {
            expect(outcome).toBe("done");
            expect((await members(prefix)).filter((member) => member.startsWith("w "))).toEqual([]);
            break;
          }
          expect(["storage", "done"]).toContain(outcome);
        }
      }
    },
  );

  test("rules 21 and 57.2: an entry whose session is gone is dropped when it is met", async () => {
    const { store, prefix } = open();
    await store.save("gone", [], { parent_id: "p" });
    await store.save("there", []);
    await client.unlink(`{${prefix}:gone}:session`);
    expect((await members(prefix)).some((member) => member.includes("~gone "))).toBe(true);
    expect((await store.list()).map(({ id }) => id)).toEqual(["there"]);
    expect((await members(prefix)).some((member) => member.includes("~gone "))).toBe(false);
  });

  test("rules 21 and 57.2: a session without an entry is listed again after its next change, or a rebuild", async () => {
    const { store, prefix } = open();
    for (const id of ["a", "b", "*?[x]{}:\u0000ä\u{1f600}"]) {
      await store.save(id, [user("one")], { updated_at: DATES[1] });
    }
    const before = await store.list();
    const { store: other } = open({ prefix: `${prefix}:b` }); // its keys begin alike
    await other.save("another", []);
    await client.unlink(`${prefix}:index`);
    expect(await store.list()).toEqual([]);
    await store.append("b", [user("two")], { revision: (await store.load("b"))?.revision ?? "" });
    expect((await store.list()).map(({ id }) => id)).toEqual(["b"]);
    expect(await store.rebuild_index()).toBe(3);
    expect((await store.list()).slice(1)).toEqual(before.filter(({ id }) => id !== "b"));
    expect((await other.list()).map(({ id }) => id)).toEqual(["another"]);
  });

  test("rules 21 and 57.2: sessions that change all the time are in every list, once", async () => {
    const { store, prefix } = open();
    const names = Array.from({ length: 20 }, (_, n) => `s${n}`);
    await Promise.all(names.map((id) => store.save(id, [])));
    const random = seeded_random(4);
    const other = new RedisSessionStore(client, { prefix });
    let is_over = false;
    const write = async (writer: RedisSessionStore) => {
      for (let n = 0; n < 150; n += 1) {
        await writer.update(random.pick(names), { updated_at: random.pick(DATES), kind: "root" });
      }
      is_over = true;
    };
    const read = async () => {
      let lists = 0;
      for (; !is_over; lists += 1) {
        expect((await store.list()).map(({ id }) => id).sort()).toEqual([...names].sort());
      }
      return lists;
    };
    const [, , lists] = await Promise.all([write(store), write(other), read(), read()]);
    expect(lists).toBeGreaterThan(3);
    await store.list();
    const left = (await members(prefix)).filter((member) => member.startsWith("a "));
    expect(left.length).toBe(names.length);
  });

  test("rules 21 and 57.2: the newest of many sessions, and a page of few, are read without the rest", async () => {
    const { store, prefix } = open();
    const many = 3000;
    const date = (n: number) => new Date(1.7e12 + n).toISOString();
    for (let from = 0; from < many; from += 500) {
      await Promise.all(
        Array.from({ length: 500 }, (_, at) => {
          const n = from + at;
          const updated_at = date(n);
          const kind = n % 100 === 0 ? "root" : "child";
          return store.save(`s${n}`, [], { updated_at, kind, ...(n % 500 === 3 && { parent_id: "p" }) });
        }),
      );
    }
    const hooked = new HookedClient(client);
    const reader = new RedisSessionStore(hooked.client, { prefix });
    const cost = async (query: Parameters<typeof reader.list>[0]) => {
      hooked.commands = 0;
      return { found: (await reader.list(query)).map(({ id }) => id), commands: hooked.commands };
    };
    expect(await cost({ limit: 20 })).toEqual({
      found: Array.from({ length: 20 }, (_, n) => `s${many - 1 - n}`),
      commands: 2,
    });
    const before = { updated_at: date(1000), id: "s1000" };
    expect(await cost({ limit: 2, before })).toEqual({ found: ["s999", "s998"], commands: 2 });
    expect((await cost({ limit: 3, kinds: ["root"] })).commands).toBe(2);
    expect((await cost({ limit: 3, kinds: ["root", "child"], before })).commands).toBe(2);
    expect((await cost({ parent_id: "p" })).found).toEqual(["s2503", "s2003", "s1503", "s1003", "s503", "s3"]);
    expect((await cost({ parent_id: "p" })).commands).toBe(2);
    expect((await cost({ parent_id: "p", kinds: ["root"] })).commands).toBe(1);
  });

  test("rules 57.2 and 57.6: a list reads no messages, and an append no history", async () => {
    const { store, prefix } = open();
    const long = Array.from({ length: 200 }, (_, n) => user("x".repeat(1000), `m${n}`));
    await store.save("s", long);
    const hooked = new HookedClient(client);
    const reader = new RedisSessionStore(hooked.client, { prefix });
    expect((await reader.list())[0]?.message_count).toBe(200);
    expect(hooked.received).toBeLessThan(2000);
    const revision = (await store.load("s"))?.revision ?? "";
    await reader.append("s", [user("more")], { revision });
    expect(hooked.received).toBeLessThan(4000);
    expect((await store.load("s"))?.messages.length).toBe(201);
  });
});
