import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Conversation, next_reply, StreamingProvider, type Message } from "@simulacra-ai/core";
import {
  EncryptedSessionStore,
  FileSessionStore,
  InMemorySessionStore,
  RedactingSessionStore,
  SessionManager,
  type SessionStore,
  type StoredSession,
} from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { FourMethodStore } from "../../support/four-method-store.js";
import { temporary_directory } from "../../support/temporary-directory.js";
import { turns, user } from "../../support/messages.js";

const OLD = randomBytes(32);
const NOW = randomBytes(32);
const KEYS = { old: OLD, now: NOW };

function encrypted(inner: SessionStore, options: object = {}): EncryptedSessionStore {
  return new EncryptedSessionStore(inner, { keys: KEYS, current: "now", ...options });
}

async function revision_of(store: SessionStore, id: string): Promise<string> {
  return (await store.load(id))?.revision ?? "";
}

/** A store whose sessions can be changed as whoever can write the storage would. */
class OpenStore extends InMemorySessionStore {
  async tamper(id: string, change: (session: StoredSession) => void): Promise<void> {
    const session = (await super.load(id)) as StoredSession;
    change(session);
    await super.save(id, session.messages, session.metadata);
  }
}

describe("rule 51: an encrypted session", () => {
  test("has nothing of its content in the storage, and all of it for whoever has the key", async () => {
    const { path, remove } = await temporary_directory();
    try {
      const store = encrypted(new FileSessionStore(path));
      const secret = "the launch code is 0000";
      const messages = [user(secret, "m1"), ...turns(3)];
      const checkpoint_state = { message_id: "m1", summary: secret };
      const metadata = { label: secret, custom: { deep: [secret] }, checkpoint_state, unheard_of: secret };
      await store.save("s", messages, metadata);
      await store.append("s", [user(secret, "m2")], { revision: await revision_of(store, "s") });
      await store.set_draft("s", { prompt: user(secret, "m3"), updated_at: "2024-01-01T00:00:00.000Z" });
      const stored = ["s.json", "s.journal", "s.draft"].map((name) => readFileSync(join(path, name), "utf8")).join();
      expect(stored).not.toContain("launch");
      expect(stored).not.toMatch(/"m[123]"/);
      const again = await encrypted(new FileSessionStore(path)).load("s");
      expect(again?.messages).toEqual([...messages, user(secret, "m2")]);
      expect(again?.metadata).toMatchObject(metadata);
      expect(again?.draft?.prompt).toEqual(user(secret, "m3"));
      expect((await store.list())[0]).toMatchObject({ label: secret, message_count: 8 });
    } finally {
      await remove();
    }
  });

  test("is made of valid messages for the inner store", async () => {
    const inner = new InMemorySessionStore();
    await encrypted(inner).save("s", turns(1));
    for (const { role, content } of (await inner.load("s"))?.messages ?? []) {
      expect(["user", "assistant"]).toContain(role);
      expect(content).toEqual([
        { type: "raw", model_kind: "simulacra-session/encrypted", data: expect.stringMatching(/^v1\.now\./) as string },
      ]);
    }
  });

  test("is encrypted anew each time", async () => {
    const inner = new InMemorySessionStore();
    const data = async () => JSON.stringify((await inner.load("s"))?.messages);
    await encrypted(inner).save("s", turns(1));
    const first = await data();
    await encrypted(inner).save("s", turns(1));
    expect(await data()).not.toBe(first);
  });

  const swap = (messages: Message[], a: number, b: number) => {
    [messages[a], messages[b]] = [messages[b] as Message, messages[a] as Message];
  };
  test.each<[string, (session: StoredSession, other: StoredSession) => void]>([
    ["swapped", ({ messages }) => swap(messages, 0, 2)],
    ["moved to the end", ({ messages }) => void messages.push(messages.shift() as Message)],
    ["repeated", ({ messages }) => void messages.push(messages[0] as Message)],
    ["left out in the middle", ({ messages }) => void messages.splice(1, 1)],
    ["of another session", ({ messages }, other) => void (messages[0] = other.messages[0] as Message)],
    ["of an earlier version", ({ messages }, other) => void (messages[1] = other.messages[1] as Message)],
    ["changed", ({ messages }) => void ((messages[0]?.content[0] as { data: string }).data += "AAAA")],
    ["replaced by plain text", ({ messages }) => void (messages[1] = user("in the clear"))],
  ])("whose messages were %s is corrupt, and damaged in no other way", async (name, change) => {
    const inner = new OpenStore();
    const store = encrypted(inner);
    await store.save("s", [user("another beginning"), ...turns(2).slice(1)]);
    const earlier = (await inner.load("s")) as StoredSession;
    await store.save("s", turns(2));
    await store.save("other", turns(2));
    const other = name.includes("earlier") ? earlier : ((await inner.load("other")) as StoredSession);
    await inner.tamper("s", (session) => change(session, other));
    await expect(store.load("s")).rejects.toMatchObject({
      code: "corrupt",
      session_id: "s",
      message: expect.stringMatching(/^session s cannot be decrypted: message \d/) as string,
    });
    expect((await store.load("other"))?.messages).toEqual(turns(2));
  });

  test("whose metadata were exchanged is damaged in the list, and not left out", async () => {
    const inner = new OpenStore();
    const store = encrypted(inner);
    await store.save("s", [], { label: "mine" });
    await store.save("other", [], { label: "theirs" });
    const label = (await inner.load("other"))?.metadata.label;
    await inner.tamper("s", ({ metadata }) => void (metadata.label = label as string));
    const listed = await store.list();
    expect(listed.map(({ id }) => id).sort()).toEqual(["other", "s"]);
    expect(listed.find(({ id }) => id === "s")).toMatchObject({ damaged: expect.stringContaining("label") as string });
    expect(listed.find(({ id }) => id === "s")).not.toHaveProperty("label");
    await expect(store.load("s")).rejects.toMatchObject({ code: "corrupt" });
  });

  test("of an old key is read, and written with the current one", async () => {
    const inner = new InMemorySessionStore();
    await encrypted(inner, { current: "old" }).save("s", turns(2), { label: "l" });
    const store = encrypted(inner);
    await store.append("s", turns(1, "new"), { revision: await revision_of(store, "s") });
    const keys_in = async () =>
      (await inner.load("s"))?.messages.map(({ content }) => (content[0] as { data: string }).data.split(".")[1]);
    expect(await keys_in()).toEqual(["old", "old", "old", "old", "now", "now"]);
    expect((await store.load("s"))?.messages).toEqual([...turns(2), ...turns(1, "new")]);
    await store.save("s", turns(2));
    expect(await keys_in()).toEqual(Array(4).fill("now"));
  });

  test.each([
    ["a key that is not there", { keys: { now: NOW } }],
    ["another key of the same name", { keys: { now: NOW, old: randomBytes(32) } }],
  ])("with %s is corrupt, never empty", async (_, options) => {
    const inner = new InMemorySessionStore();
    await encrypted(inner, { current: "old" }).save("s", turns(1), { label: "l" });
    const store = encrypted(inner, options);
    await expect(store.load("s")).rejects.toMatchObject({ code: "corrupt", session_id: "s" });
    expect(await store.list()).toMatchObject([{ id: "s", damaged: expect.stringContaining("session s") as string }]);
  });

  test("in plain text is corrupt, or read where that is accepted, and continued encrypted", async () => {
    const inner = new InMemorySessionStore();
    await inner.save("s", turns(1), { label: "l", custom: { a: 1 } });
    await expect(encrypted(inner).load("s")).rejects.toMatchObject({ code: "corrupt" });
    const store = encrypted(inner, { accept_plaintext: true });
    expect(await store.load("s")).toMatchObject({ messages: turns(1), metadata: { label: "l", custom: { a: 1 } } });
    await store.append("s", turns(1, "new"), { revision: await revision_of(store, "s") });
    expect((await store.load("s"))?.messages).toEqual([...turns(1), ...turns(1, "new")]);
    expect(JSON.stringify((await inner.load("s"))?.messages.slice(2))).not.toContain("question");
  });

  test("is appended to without reading the history, by whoever wrote it last", async () => {
    class Counting extends InMemorySessionStore {
      loads = 0;
      override load(id: string): Promise<StoredSession | undefined> {
        this.loads += 1;
        return super.load(id);
      }
      override append(...args: Parameters<InMemorySessionStore["append"]>): ReturnType<InMemorySessionStore["append"]> {
        return super.append(...args);
      }
      override replace(
        ...args: Parameters<InMemorySessionStore["replace"]>
      ): ReturnType<InMemorySessionStore["replace"]> {
        return super.replace(...args);
      }
    }
    const inner = new Counting();
    const store = encrypted(inner);
    let { revision } = await store.replace("s", turns(1), { revision: null });
    for (let n = 0; n < 5; n += 1) {
      ({ revision } = await store.append("s", turns(1, `${n} `), { revision }));
    }
    expect(inner.loads).toBe(0);
    ({ revision } = await encrypted(inner).append("s", turns(1, "last "), { revision }));
    expect(inner.loads).toBe(1);
    expect((await store.load("s"))?.messages).toHaveLength(14);
    await expect(store.append("s", turns(1), { revision: "another" })).rejects.toMatchObject({ code: "conflict" });
    await expect(store.append("gone", turns(1), { revision: "r" })).rejects.toMatchObject({ code: "not_found" });
  });

  test("is a session like any other for a manager: turns, forks, a checkpoint, a conflict, explicit saves", async () => {
    const store = encrypted(new InMemorySessionStore());
    const conversation = new Conversation(new StreamingProvider([{ text: "one" }, { text: "two" }, { text: "three" }]));
    const manager = new SessionManager(store, conversation);
    const id = manager.start_new();
    await Promise.all([next_reply(conversation), conversation.prompt("first")]);
    await Promise.all([next_reply(conversation), conversation.prompt("second")]);
    await manager.save({ label: "a label" });
    const fork = await manager.fork(id);
    await Promise.all([next_reply(conversation), conversation.prompt("third")]);
    await manager.flush();
    const other = new SessionManager(store, new Conversation(new StreamingProvider()));
    await other.load(fork);
    expect((await store.list()).map(({ label }) => label).sort()).toEqual(["a label", "a label (fork)"]);
    expect((await store.load(fork))?.metadata).toMatchObject({
      parent_id: id,
      fork_message_count: 4,
      message_count: 2,
    });
    expect(conversation.messages).toHaveLength(6);
  });

  test("over a store that holds null has nothing there", async () => {
    const store = encrypted(new FourMethodStore());
    await store.save("s", turns(1), { label: "l", custom: { a: 1 } });
    await store.save("s", turns(1), { label: null, custom: null, checkpoint_state: null, unheard_of: null } as object);
    expect((await store.load("s"))?.messages).toEqual(turns(1));
    expect((await store.load("s"))?.metadata.label ?? undefined).toBeUndefined();
    expect((await store.list())[0]).not.toHaveProperty("damaged");
  });

  test("may have an id of any length, and none that the inner store would not take", async () => {
    const store = encrypted(new InMemorySessionStore());
    for (const id of ["x".repeat(1_000), "é".repeat(600), "x".repeat(5_000), `${"x".repeat(4_999)}y`]) {
      await store.save(id, turns(1), { label: id });
      expect(await store.load(id)).toMatchObject({ messages: turns(1), metadata: { label: id } });
    }
  });

  test("is not appended to without a revision", async () => {
    const store = encrypted(new InMemorySessionStore());
    await store.save("s", []);
    for (const options of [{}, { revision: undefined }]) {
      await expect(store.append("s", turns(1), options as never)).rejects.toMatchObject({ code: "conflict" });
    }
  });

  describe("whose draft", () => {
    const draft = { prompt: user("typed", "p"), updated_at: "2024-01-01T00:00:00.000Z" };

    test.each<[string, (inner: InMemorySessionStore) => Promise<SessionStore>]>([
      [
        "has a key that is gone",
        async (inner) => {
          await encrypted(inner, { current: "old" }).set_draft("s", draft);
          return encrypted(inner, { keys: { now: NOW } });
        },
      ],
      [
        "is in plain text",
        async (inner) => {
          await inner.set_draft("s", draft);
          return encrypted(inner);
        },
      ],
      [
        "is another session's",
        async (inner) => {
          await encrypted(inner).save("other", []);
          await encrypted(inner).set_draft("other", draft);
          await inner.set_draft("s", (await inner.load("other"))?.draft);
          return encrypted(inner);
        },
      ],
    ])("%s is read without it, and keeps it", async (_, spoil) => {
      const inner = new InMemorySessionStore();
      await encrypted(inner).save("s", turns(1), { label: "l" });
      const store = await spoil(inner);
      expect(await store.load("s")).toMatchObject({ messages: turns(1), metadata: { label: "l" } });
      expect(await store.load("s")).not.toHaveProperty("draft");
      expect((await inner.load("s"))?.draft).toBeDefined();
    });

    test.each(["append", "replace", "save"] as const)(
      "was written under an old key loses it with its turn: %s",
      async (method) => {
        const inner = new InMemorySessionStore();
        await encrypted(inner, { current: "old" }).save("s", turns(1));
        await encrypted(inner, { current: "old" }).set_draft("s", draft);
        const store = encrypted(inner);
        const { revision = "", draft: there } = (await store.load("s")) ?? {};
        expect(there).toEqual(draft);
        await store.append("s", turns(1, "unrelated"), { revision });
        expect((await inner.load("s"))?.draft).toBeDefined();
        const options = { revision: await revision_of(store, "s") };
        await (method === "save" ? store.save("s", [draft.prompt]) : store[method]("s", [draft.prompt], options));
        expect(await inner.load("s")).not.toHaveProperty("draft");
        await store.save("s", turns(1));
        expect(await store.load("s")).not.toHaveProperty("draft");
      },
    );

    test("was written under an old key is gone with the next write where its turn is there already", async () => {
      const inner = new InMemorySessionStore();
      await encrypted(inner).save("s", [...turns(1), draft.prompt]);
      await encrypted(inner, { current: "old" }).set_draft("s", draft);
      const store = encrypted(inner);
      expect(await store.load("s")).not.toHaveProperty("draft");
      await store.save("s", turns(1)); // a rewind behind it
      expect(await store.load("s")).not.toHaveProperty("draft");
    });
  });

  test("is never handed to a store that would redact it", async () => {
    const around = (inner: SessionStore) => new EncryptedSessionStore(inner, { keys: KEYS, current: "now" });
    const redacting = new RedactingSessionStore(new InMemorySessionStore());
    class Mine extends RedactingSessionStore {}
    const refused = expect.objectContaining({
      code: "invalid_input",
      message: expect.stringMatching(/RedactingSessionStore .*outside/) as string,
    }) as Error;
    expect(() => around(redacting)).toThrow(refused);
    expect(() => around(new Mine(new InMemorySessionStore()))).toThrow(refused);
    expect(() => around(new RedactingSessionStore(around(new InMemorySessionStore())))).toThrow(refused);
    const store = new RedactingSessionStore(around(new InMemorySessionStore()));
    await store.save("s", turns(1));
    expect((await store.load("s"))?.messages).toEqual(turns(1));
  });

  test.each([
    ["no key", {}, "now"],
    ["a current key that is not there", KEYS, "later"],
    ["a key that is too short", { now: randomBytes(16) }, "now"],
    ["a key that is a text", { now: "x".repeat(32) as never }, "now"],
    ["a key with an odd id", { "a.b": NOW }, "a.b"],
  ])("takes no %s", (_, keys, current) => {
    expect(() => new EncryptedSessionStore(new InMemorySessionStore(), { keys, current })).toThrow(
      expect.objectContaining({ code: "invalid_input" }) as Error,
    );
  });
});
