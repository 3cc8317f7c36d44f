import { createClient, createClientPool, createCluster, createSentinel, RESP_TYPES } from "redis";
import { describe, expect, onTestFinished, test } from "vitest";
import { RedisSessionStore, type RedisSessionClient } from "../../../src/stores/redis/index.js";
import { assistant, turns, user } from "../../support/messages.js";
import { connect } from "./clients.js";
import { before, HookedClient, WAYS } from "./hooked-client.js";
import { free_ports, HAS_SHARED, use_shared } from "./servers.js";

const DRAFT = { prompt: user("typed", "p"), updated_at: "2024-01-01T00:00:00.000Z" };

/** Every client of node-redis is one for the store: this only has to compile. */
export function every_client(): RedisSessionClient[] {
  return [
    createClient(),
    createClient({ RESP: 2 }),
    createClient({ RESP: 3, commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } } }),
    createClientPool(),
    createCluster({ rootNodes: [] }),
    createCluster({ rootNodes: [], RESP: 3 }),
    createSentinel({ name: "", sentinelRootNodes: [] }),
  ];
}

function rejection(operation: Promise<unknown>): Promise<{ code?: string; message: string; cause?: unknown }> {
  return operation.then(
    () => ({ message: "no error" }),
    (error: { code?: string; message: string }) => error,
  );
}

describe.skipIf(!HAS_SHARED)("RedisSessionStore", () => {
  const { client, open } = use_shared();
  const key = (prefix: string, id = "s") => `{${prefix}:${id}}:session`;

  test("rule 57.3: a server that forgets its scripts is told them again, in the middle of everything", async () => {
    const { store } = open();
    let { revision } = await store.replace("s", [], { revision: null });
    for (const [n, message] of turns(4).entries()) {
      await client.scriptFlush();
      ({ revision } = await store.append("s", [message], { revision }));
      await client.scriptFlush();
      expect((await store.load("s"))?.messages.length).toBe(n + 1);
      await client.scriptFlush();
      expect((await store.list())[0]?.message_count).toBe(n + 1);
    }
  });

  test("rule 57.7: a client that returns buffers, a pool and protocol 2 do as well", async () => {
    const { store, prefix } = open();
    await store.save("ä", turns(2), { label: "ö" });
    const two = createClient({ url: "redis://127.0.0.1:6379/9", RESP: 2 });
    const pool = createClientPool({ url: "redis://127.0.0.1:6379/9" });
    await Promise.all([two.connect(), pool.connect()]);
    onTestFinished(async () => void (await Promise.all([two.close(), pool.close()])));
    const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    for (const other of [buffers, two, pool]) {
      const again = new RedisSessionStore(other, { prefix });
      expect(await again.load("ä")).toEqual(await store.load("ä"));
      expect(await again.list()).toEqual(await store.list());
      expect(await again.rebuild_index()).toBe(1);
      await again.update("ä", { model: "m" });
    }
  });

  test("rule 57.1: a session of a hundred and twenty thousand messages, and one message of megabytes", async () => {
    const { store, prefix } = open();
    const many = Array.from({ length: 120_000 }, (_, n) => user(`${n}`, `m${n}`));
    await store.save("s", many);
    await store.append("s", turns(1), { revision: (await store.load("s"))?.revision ?? "" });
    const found = await store.load("s");
    expect(found?.messages.length).toBe(many.length + 2);
    expect(found?.messages.every(({ id }, n) => n >= many.length || id === `m${n}`)).toBe(true);
    const big = user("ä\n".repeat(1_500_000));
    await store.save("s", [big]);
    expect((await store.load("s"))?.messages).toEqual([big]);
    expect(await client.hLen(key(prefix))).toBe(5);
  });

  test("rule 25: what the server, or the way to it, refuses is an error of the storage with its cause", async () => {
    const [port = 0] = await free_ports(1);
    const nowhere = connect(`redis://127.0.0.1:${port}`);
    const closed = new RedisSessionStore(nowhere);
    const { store, prefix } = open();
    await store.save("s", turns(1));
    const failing = new RedisSessionStore(new HookedClient(client, () => "lost").client, { prefix });
    for (const one of [closed, failing]) {
      for (const operation of [
        one.list(),
        one.load("s"),
        one.save("s", []),
        one.delete("s"),
        one.append("s", [], { revision: "r" }),
        one.replace("s", [], { revision: null }),
        one.update("s", {}),
        one.set_draft("s", undefined),
        one.rebuild_index(),
      ]) {
        expect(await rejection(operation)).toMatchObject({ name: "SessionError", code: "storage" });
        expect((await rejection(operation)).cause).toBeInstanceOf(Error);
      }
    }
    expect((await store.load("s"))?.messages).toEqual(turns(1));
  });

  test("rule 25: options and clients that cannot be used, and ids that have no UTF-8, are refused", async () => {
    for (const options of [{ prefix: "a{b" }, { prefix: "" }, { ttl_seconds: 0 }, { ttl_seconds: NaN }]) {
      expect(() => new RedisSessionStore(client, options)).toThrow(expect.objectContaining({ code: "invalid_input" }));
    }
    expect(() => new RedisSessionStore({} as RedisSessionClient)).toThrow(
      expect.objectContaining({ code: "invalid_input" }),
    );
    const { store } = open();
    for (const id of ["", "\ud800", "a\udc00", "x".repeat(201)]) {
      expect((await rejection(store.save(id, []))).code).toBe("invalid_id");
      expect((await rejection(store.append(id, [], { revision: "r" }))).code).toBe("invalid_id");
      expect((await rejection(store.replace(id, [], { revision: null }))).code).toBe("invalid_id");
      expect([await store.load(id), await store.delete(id), await store.update(id, {})]).toEqual([
        undefined,
        false,
        false,
      ]);
    }
    for (const id of ["\0", "a\0b", "{", "}:session", "x".repeat(200)]) {
      await store.save(id, [user(`\0 \ud800 ${id}`)]);
      expect((await store.load(id))?.messages).toEqual([user(`\0 \ud800 ${id}`)]);
    }
  });

  test("rule 57.5: what is damaged is corrupt, listed as such, never overwritten, and can be deleted", async () => {
    const damages: [string, (at: string) => Promise<unknown>, repaired?: boolean][] = [
      ["metadata that are no JSON", (at) => client.hSet(at, "meta", "{")],
      ["metadata that are no object", (at) => client.hSet(at, "meta", "[]")],
      ["no metadata", (at) => client.hDel(at, "meta")],
      ["no revision", (at) => client.hDel(at, "rev")],
      ["no count", (at) => client.hDel(at, "n")],
      ["no entry", (at) => client.hDel(at, "entry")],
      ["an entry that is empty", (at) => client.hSet(at, "entry", "")],
      ["a text instead", (at) => client.set(at, "text")],
      ["a list instead", async (at) => (await client.del(at), client.rPush(at, "text"))],
      ["a message that is no JSON", (at) => client.hSet(at, "1", "x"), true],
      ["a message that is more", (at) => client.hSet(at, "1", "{},{}"), true],
      ["a message that is none", (at) => client.hSet(at, "1", "5"), true],
      ["a count that is too high", (at) => client.hSet(at, "n", "999999999999999"), true],
      ["a message missing", (at) => client.hDel(at, "0"), true],
      ["a draft that is no JSON", (at) => client.hSet(at, "draft", "x")],
      ["a draft without a prompt", (at) => client.hSet(at, "draft", "{}")],
    ];
    for (const [name, damage, repaired] of damages) {
      const { store, prefix } = open();
      await store.save("s", turns(2), { updated_at: "2024-01-01T00:00:00.000Z" });
      await store.save("whole", turns(1), { updated_at: "2023-01-01T00:00:00.000Z" });
      await damage(key(prefix));
      expect((await rejection(store.load("s"))).code, name).toBe("corrupt");
      for (let again = 0; again < 2; again += 1) {
        const [first, second] = await store.list();
        expect([first?.id, first?.updated_at, second?.id], name).toEqual(["s", "2024-01-01T00:00:00.000Z", "whole"]);
        const is_head = !repaired && !name.startsWith("a draft");
        expect(typeof first?.damaged, name).toBe(is_head ? "string" : "undefined");
        if (is_head) {
          expect((await rejection(store.save("s", []))).code, name).toBe("corrupt");
          expect((await rejection(store.update("s", { label: "l" }))).code, name).toBe("corrupt");
        }
      }
      await client.unlink(`${prefix}:index`);
      expect([await store.rebuild_index(), (await store.list()).length], name).toEqual([2, 2]);
      if (repaired) {
        await store.save("s", turns(1));
        expect((await store.load("s"))?.messages, name).toEqual(turns(1));
      }
      expect(await store.delete("s"), name).toBe(true);
      expect(
        (await store.list()).map(({ id }) => id),
        name,
      ).toEqual(["whole"]);
    }
  });

  test("rule 57.5: a damaged session is listed among those of its kind and its parent", async () => {
    const { store, prefix } = open();
    await store.save("p", turns(1));
    await store.save("s", turns(1), { parent_id: "p", kind: "fork" });
    await client.hSet(key(prefix), "meta", "{");
    for (const query of [{ parent_id: "p" }, { kinds: ["fork" as const] }]) {
      expect(await store.list(query)).toMatchObject([
        { id: "s", parent_id: "p", kind: "fork", damaged: expect.any(String) as string },
      ]);
    }
    expect((await store.list({ kinds: ["root"] })).map(({ id }) => id)).toEqual(["p"]);
  });

  test("rule 57.2: what somebody put into the index that is no entry is in nobody's way, and goes", async () => {
    const { store, prefix } = open();
    await store.save("s", turns(1));
    await client.zAdd(
      `${prefix}:index`,
      ["x", "a", "", "a x", "x1", " ", "w"].map((value) => ({ score: 0, value })),
    );
    const { store: other } = open({ prefix });
    await other.save("t", turns(1));
    await other.save("u", turns(1));
    expect((await other.list()).map(({ id }) => id).sort()).toEqual(["s", "t", "u"]);
  });

  test("rule 57.2: an index that is something else is an error that says what to do", async () => {
    const { store, prefix } = open();
    await store.save("s", turns(1));
    await client.set(`${prefix}:index`, "text");
    expect(await rejection(store.list())).toMatchObject({ code: "storage" });
    expect((await rejection(store.save("s", []))).message).toContain("rebuild_index");
    await client.unlink(`${prefix}:index`);
    expect(await store.rebuild_index()).toBe(1);
  });

  test.each(WAYS)(
    "rule 26: a draft that is set between what a turn reads and what it writes is judged by its own prompt: $way",
    async (way) => {
      for (const [prompt_id, kept] of [
        ["of the turn", false],
        ["another", true],
      ] as const) {
        const { store, prefix } = open();
        const { revision } = await store.replace("s", [], { revision: null });
        const draft = { ...DRAFT, prompt: user("typed", prompt_id) };
        // All is read then, and nothing is written.
        const setting = before(way.command, () => store.set_draft("s", draft));
        const slow = new HookedClient(client, setting, way);
        const writer = new RedisSessionStore(slow.client, { prefix });
        await writer.append("s", [user("typed", "of the turn"), assistant("answer", "a\nb")], { revision });
        expect((await store.load("s"))?.draft).toEqual(kept ? draft : undefined);
        expect(Boolean(await client.hExists(key(prefix), "draft"))).toBe(kept);
      }
    },
  );

  test("rule 26: a draft that was void does not come back where save or replace cuts its turn away", async () => {
    const { store } = open();
    for (const id of ["p", 'with / and "', "ü"]) {
      const draft = { ...DRAFT, prompt: user("typed", id) };
      for (const cut of ["save", "replace"]) {
        await store.save("s", [user("other", "o"), draft.prompt, assistant("answer", `re: ${id}`)]);
        await store.set_draft("s", draft);
        const { revision = "" } = (await store.load("s")) ?? {};
        await (cut === "save" ? store.save("s", []) : store.replace("s", [], { revision }));
        expect(await store.load("s")).not.toHaveProperty("draft");
        await store.set_draft("s", draft);
        await store.save("s", [user("typed", "other")]);
        expect((await store.load("s"))?.draft).toEqual(draft);
      }
    }
  });

  test.each(WAYS)(
    "rule 23: a change of the metadata alone between reading and writing is kept, one of the messages is a conflict: $way",
    async (way) => {
      const { store, prefix } = open();
      let { revision } = await store.replace("s", [], { revision: null });
      const between = (task: () => Promise<unknown>) =>
        new RedisSessionStore(new HookedClient(client, before(way.command, task), way).client, { prefix });
      const kind = between(() => store.update("s", { model: "theirs" }));
      ({ revision } = await kind.append("s", turns(1), { revision, metadata: { label: "mine" } }));
      expect((await store.load("s"))?.metadata).toMatchObject({ model: "theirs", label: "mine", message_count: 2 });
      const unkind = between(() => store.append("s", turns(1, "theirs"), { revision }));
      expect((await rejection(unkind.append("s", turns(1, "mine"), { revision }))).code).toBe("conflict");
      const gone = between(() => store.delete("s"));
      revision = (await store.load("s"))?.revision ?? "";
      expect((await rejection(gone.append("s", turns(1, "mine"), { revision }))).code).toBe("not_found");
      expect(await client.zCard(`${prefix}:index`)).toBe(0);
    },
  );

  test.each(WAYS)(
    "rule 23: a client that sends a command again, because its reply was lost, finds its own change: $way",
    async (way) => {
      const { store, prefix } = open();
      const insistent = new RedisSessionStore(new HookedClient(client, () => "runs twice", way).client, { prefix });
      let { revision } = await insistent.replace("s", [], { revision: null });
      ({ revision } = await insistent.append("s", turns(1), { revision }));
      await insistent.append("s", turns(1, "b"), { revision });
      expect((await store.load("s"))?.messages).toEqual([...turns(1), ...turns(1, "b")]);
      expect((await store.list()).map(({ message_count }) => message_count)).toEqual([4]);
      if (!way.is_cluster) {
        expect(await client.zCard(`${prefix}:index`)).toBe(2);
      }
    },
  );
});
