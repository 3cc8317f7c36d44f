import { describe, expect, test } from "vitest";
import { RedisSessionStore, type RedisSessionClient } from "../../../src/stores/redis/index.js";
import { turns } from "../../support/messages.js";
import { HookedClient, WAYS } from "./hooked-client.js";
import { HAS_SHARED, use_shared } from "./servers.js";

const code_of = (operation: Promise<unknown>) =>
  operation.then(
    () => "none",
    (error: { code?: string }) => error.code,
  );

describe.skipIf(!HAS_SHARED).each(WAYS)("what a RedisSessionStore wrote last, and remembers: $way", (way) => {
  const { client, open } = use_shared();
  const remembering = () => {
    const { store: other, prefix } = open();
    const hooked = new HookedClient(client, () => "runs", way);
    return { store: new RedisSessionStore(hooked.client, { prefix }), other, prefix, hooked };
  };

  test("rule 57.6: an append to it reads nothing, and one to another session reads its state", async () => {
    const { store, other, hooked } = remembering();
    const steps = way.is_cluster ? 3 : 1;
    let { revision } = await store.replace("s", turns(1), { revision: null });
    hooked.commands = 0;
    ({ revision } = await store.append("s", turns(1), { revision }));
    await store.append("s", [], { revision, metadata: { label: "l" } });
    await store.update("s", { model: "m" });
    expect(hooked.commands).toBe(3 * steps);
    hooked.commands = 0;
    const theirs = await other.replace("theirs", turns(1), { revision: null });
    await store.append("theirs", turns(1), theirs);
    expect(hooked.commands).toBe(1 + steps);
    expect((await other.load("s"))?.metadata).toMatchObject({ label: "l", model: "m", message_count: 4 });
    const counts = new Map((await other.list()).map(({ id, message_count }) => [id, message_count]));
    expect(counts).toEqual(
      new Map([
        ["theirs", 4],
        ["s", 4],
      ]),
    ); // in any order: it may all be done in one millisecond
  });

  test("rule 57.6: it is never more right than what is stored", async () => {
    const { store, other } = remembering();
    let { revision } = await store.replace("s", turns(1), { revision: null });
    ({ revision } = await other.append("s", turns(1, "b"), { revision, metadata: { model: "theirs" } }));
    ({ revision } = await store.append("s", turns(1, "c"), { revision }));
    await other.update("s", { label: "theirs" });
    ({ revision } = await store.append("s", turns(1, "d"), { revision, metadata: { provider: "mine" } }));
    expect(await store.load("s")).toMatchObject({
      metadata: { model: "theirs", label: "theirs", provider: "mine", message_count: 8 },
      messages: [...turns(1), ...turns(1, "b"), ...turns(1, "c"), ...turns(1, "d")],
    });
    const { revision: theirs } = await other.append("s", turns(1), { revision });
    expect(await code_of(store.append("s", turns(1), { revision }))).toBe("conflict");
    expect(await code_of(store.replace("s", [], { revision }))).toBe("conflict");
    await store.replace("s", turns(1), { revision: theirs });
    await other.delete("s");
    expect(await store.update("s", { label: "l" })).toBe(false);
    await store.save("s", turns(1));
    await other.delete("s");
    ({ revision } = await store.replace("s", turns(2), { revision: null }));
    await other.delete("s");
    expect(await code_of(store.append("s", turns(1), { revision }))).toBe("not_found");
    expect(await store.load("s")).toBeUndefined();
  });

  test("rule 57.5: damage since then is seen, and not written over", async () => {
    for (const [field, text] of [
      ["meta", "{"],
      ["meta", "[]"],
      ["n", "x"],
      ["rev", undefined],
      ["entry", undefined],
    ] as const) {
      const { store, prefix } = remembering();
      const { revision } = await store.replace("s", turns(1), { revision: null });
      const key = `{${prefix}:s}:session`;
      await (text === undefined ? client.hDel(key, field) : client.hSet(key, field, text));
      expect(await code_of(store.append("s", turns(1), { revision })), field).toBe("corrupt");
      expect(await code_of(store.save("s", []))).toBe("corrupt");
    }
  });

  test("rule 57.6: what somebody wrote into the metadata past every store is kept", async () => {
    const { store, prefix } = remembering();
    await store.save("s", turns(1), { label: "mine" });
    const key = `{${prefix}:s}:session`;
    const meta = JSON.parse((await client.hGet(key, "meta")) ?? "") as object;
    await client.hSet(key, "meta", JSON.stringify({ ...meta, model: "theirs" }));
    await store.update("s", { label: "again" });
    expect((await store.load("s"))?.metadata).toMatchObject({ model: "theirs", label: "again" });
  });

  test("rule 57.6: after an error it is read anew", async () => {
    const { store: other, prefix } = open();
    let is_lost = false;
    const hooked = new HookedClient(client, () => (is_lost ? "reply lost" : "runs"), way);
    const store = new RedisSessionStore(hooked.client, { prefix });
    const { revision } = await store.replace("s", turns(1), { revision: null });
    is_lost = true;
    expect(await code_of(store.append("s", turns(1), { revision }))).toBe("storage");
    is_lost = false;
    hooked.commands = 0;
    await store.update("s", { label: "l" });
    expect(hooked.commands).toBe(way.is_cluster ? 4 : 2);
    expect((await other.load("s"))?.metadata.label).toBe("l");
  });

  test("rule 57.6: of many sessions only the last are remembered, and none whose metadata are long", async () => {
    const { store, hooked } = remembering();
    const names = Array.from({ length: 600 }, (_, n) => `s${n}`);
    await Promise.all(names.map((id) => store.save(id, [])));
    await store.save("long", [], { custom: { text: "x".repeat(20_000) } });
    const cost = async (id: string) => {
      hooked.commands = 0;
      await store.update(id, { label: "l" });
      return hooked.commands;
    };
    const steps = way.is_cluster ? 3 : 1;
    expect([await cost("s599"), await cost("s0"), await cost("long")]).toEqual([steps, steps + 1, steps + 1]);
  });
});

describe.skipIf(!HAS_SHARED)("plain reads of a RedisSessionStore", () => {
  const { client, open } = use_shared();

  test("rule 57.6: they are not asked of a client that may read elsewhere than it writes", async () => {
    const { store, prefix } = open();
    await store.save("s", turns(1));
    const stale = { hGetAll: async () => ({}) };
    const scripts: RedisSessionClient = {
      eval: (text, call) => client.eval(text, call),
      evalSha: (sha1, call) => client.evalSha(sha1, call),
      scan: (cursor, options) => client.scan(cursor, options),
    };
    const others: object[] = [
      {},
      { ...stale, nodeClient: () => client, masters: [] },
      { ...stale, getSentinelNode: () => undefined },
      { ...stale, release: () => undefined },
      { ...stale, clientSideCache: {} },
      { hGetAll: async () => new Map([["meta", "{}"]]) },
    ];
    for (const other of others) {
      const reader = new RedisSessionStore({ ...scripts, ...other }, { prefix });
      expect(await reader.load("s")).toEqual(await store.load("s"));
      expect(await reader.list()).toEqual(await store.list());
    }
  });

  test("rule 57.6: one command reads a session, and it is none where there is no such key", async () => {
    const { store, prefix } = open();
    await store.save("s", turns(1));
    await store.set_draft("s", { prompt: { ...turns(1)[0], id: "p" }, updated_at: "now" } as never);
    const hooked = new HookedClient(client);
    const reader = new RedisSessionStore(hooked.client, { prefix });
    expect(await reader.load("s")).toEqual({ ...(await store.load("s")), messages: turns(1) });
    expect(hooked.commands).toBe(1);
    expect(await reader.load("none")).toBeUndefined();
    expect(hooked.commands).toBe(2);
  });
});
