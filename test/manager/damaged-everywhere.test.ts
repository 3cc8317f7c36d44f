import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  EncryptedSessionStore,
  FileSessionStore,
  InMemorySessionStore,
  type EncryptedSessionStoreOptions,
  type SessionStore,
} from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { ids, texts, turns } from "../support/messages.js";
import { contents_of, open_plain } from "../support/open-session.js";
import { temporary_directory } from "../support/temporary-directory.js";

const KEY: EncryptedSessionStoreOptions = { keys: { k: Buffer.alloc(32, 1) }, current: "k" };
const SAME_NAME: EncryptedSessionStoreOptions = { keys: { k: Buffer.alloc(32, 2) }, current: "k" };
const OTHER_NAME: EncryptedSessionStoreOptions = { keys: { other: Buffer.alloc(32, 3) }, current: "other" };

/** Keys that open nothing. A list decrypts labels, so a session with a label is listed as damaged. */
const OPENINGS: [string, EncryptedSessionStoreOptions, labels: boolean][] = [
  ["another key of the same name", SAME_NAME, false],
  ["another key of the same name, with labels", SAME_NAME, true],
  ["another key of another name", OTHER_NAME, false],
  ["another key of another name, with labels", OTHER_NAME, true],
];

const INNER: [string, () => Promise<SessionStore>][] = [
  ["memory", async () => new InMemorySessionStore()],
  [
    "file",
    async () => {
      const { path, remove } = await temporary_directory();
      onTestFinished(remove);
      return new FileSessionStore(path);
    },
  ],
];

describe.each(INNER)("with encrypted sessions in a %s store", (_name, open) => {
  async function open_sealed(labels: boolean) {
    const inner = await open();
    const sealed = new EncryptedSessionStore(inner, KEY);
    const label = labels ? { label: "mine" } : {};
    await sealed.save("root", turns(2, "r"), { kind: "root", ...label });
    await sealed.save("fork", turns(1, "f"), { parent_id: "root", fork_message_id: "ra1", ...label });
    await sealed.save("child", turns(1, "c"), { kind: "child", parent_id: "root", detached: true, ...label });
    return inner;
  }

  test.each(OPENINGS)("rule 7.3: load() with %s is refused and begins nothing", async (_what, options, labels) => {
    const inner = await open_sealed(labels);
    const before = await contents_of(inner);
    const { manager, conversation } = open_plain(new EncryptedSessionStore(inner, options));
    await expect(manager.load()).rejects.toMatchObject({ name: "SessionError", code: "corrupt" });
    await manager.flush();
    expect([manager.current_session_id, manager.is_loaded, conversation.messages]).toEqual([undefined, false, []]);
    expect(await contents_of(inner)).toEqual(before);
    await expect(manager.load()).rejects.toMatchObject({ code: "corrupt" });
    const right = open_plain(new EncryptedSessionStore(inner, KEY));
    await right.manager.load();
    expect(["root", "fork"]).toContain(right.manager.current_session_id);
  });

  test("rule 7.3: the current session and its conversation stay where load() is refused so", async () => {
    const inner = await open_sealed(true);
    const { manager, conversation } = open_plain(new EncryptedSessionStore(inner, SAME_NAME));
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    await inner.delete(id);
    await expect(manager.load()).rejects.toMatchObject({ code: "corrupt" });
    expect([manager.current_session_id, texts(conversation.messages)]).toEqual([id, ["one", "re: one"]]);
  });

  test("rule 7.2: one session under another key among good ones is passed over and reported", async () => {
    const inner = await open_sealed(true);
    await new EncryptedSessionStore(inner, SAME_NAME).save("newest", turns(1, "n"), {
      kind: "root",
      updated_at: new Date(Date.now() + 60_000).toISOString(),
    });
    const { manager, conversation, errors } = open_plain(new EncryptedSessionStore(inner, KEY));
    await manager.load();
    expect(["root", "fork"]).toContain(manager.current_session_id);
    expect(conversation.messages.length).toBeGreaterThan(0);
    expect(errors).toMatchObject([
      { operation: "load", error: { code: "corrupt" }, context: { session_id: "newest" } },
    ]);
  });
});

describe("with files", () => {
  async function open_directory() {
    const { path, remove } = await temporary_directory();
    onTestFinished(remove);
    return { path, store: new FileSessionStore(path) };
  }

  test.each([1, 3])(
    "rule 7.3: where each of %i sessions is damaged, load() is refused and begins nothing",
    async (count) => {
      const { path, store } = await open_directory();
      const names = Array.from({ length: count }, (_, n) => `torn-${n}`);
      for (const name of names) {
        await writeFile(join(path, `${name}.json`), '{"metadata": {"id": "to');
      }
      const { manager, conversation } = open_plain(store);
      await expect(manager.load()).rejects.toMatchObject({ name: "SessionError", code: "corrupt" });
      await manager.flush();
      expect([manager.current_session_id, conversation.messages]).toEqual([undefined, []]);
      expect(ids(await store.list())?.sort()).toEqual(names);
      const id = manager.start_new();
      conversation.turn("one");
      await manager.flush();
      await manager.load();
      expect(manager.current_session_id).toBe(id);
    },
  );

  test("rule 7.3: where the parent of every session is damaged, load() is refused", async () => {
    const { path, store } = await open_directory();
    await store.save("root", turns(1), { kind: "root" });
    await store.save("fork", turns(1, "f"), { parent_id: "root" });
    await writeFile(join(path, "root.json"), "{");
    const { manager } = open_plain(store);
    await expect(manager.load()).rejects.toMatchObject({ code: "corrupt" });
    expect(manager.current_session_id).toBeUndefined();
  });

  test("rule 7.1: where there is no session at all, load() begins one", async () => {
    const { store } = await open_directory();
    const { manager, errors } = open_plain(store);
    await manager.load();
    await manager.flush();
    expect(ids(await store.list())).toEqual([manager.current_session_id]);
    expect(errors).toEqual([]);
  });
});
