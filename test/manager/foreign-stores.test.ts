import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SessionMetadata, SessionStore, StoredSession } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { each_backend, keeps_files } from "../backends.js";
import { history_of, said } from "../support/histories.js";
import { FourMethodStore } from "../support/four-method-store.js";
import { outcome_in_time } from "../support/in-time.js";
import { ids, texts, turns } from "../support/messages.js";
import { open_backend, open_plain } from "../support/open-session.js";

/** A store whose list can be changed into anything. */
class CarelessStore extends FourMethodStore {
  entries: (entries: SessionMetadata[]) => unknown = (entries) => entries;

  override async list(): Promise<SessionMetadata[]> {
    return this.entries(await super.list()) as SessionMetadata[];
  }
}

async function open_careless(): Promise<CarelessStore> {
  const store = new CarelessStore();
  for (const id of ["a", "b"]) {
    await store.save(id, turns(2, id), { kind: "root" });
  }
  await store.save("fork", turns(1, "f"), { parent_id: "a", fork_message_id: "aa1", fork_message_count: 2 });
  return store;
}

/** Entries that are not the metadata of a session. */
const NO_ENTRIES: [string, unknown][] = [
  ["null", null],
  ["undefined", undefined],
  ["a string", "a"],
  ["an entry without an id", { created_at: "2025-01-01T00:00:00.000Z", message_count: 2 }],
  ["an entry whose id is a number", { id: 5, message_count: 2 }],
];

/** Results of `list()` that are not an array. */
const NO_LISTS: [string, unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["an object", { rows: [] }],
  ["a string", "a,b"],
];

describe.each(NO_ENTRIES)("a store that lists %s", (_what, no_entry) => {
  async function open_with_no_entry() {
    const store = await open_careless();
    store.entries = (entries) => [no_entry, ...entries, no_entry];
    return { store, ...open_plain(store) };
  }

  test("rules 7.5 and 21: list() leaves that out and reports it", async () => {
    const { manager, errors } = await open_with_no_entry();
    expect(ids(await manager.list())?.sort()).toEqual(["a", "b", "fork"]);
    expect(errors.length).toBeGreaterThan(0);
    expect(errors[0]?.error).toMatchObject({ name: "SessionError", message: expect.any(String) as string });
    expect(ids(await manager.list({ limit: 10, kinds: ["root"] }))?.sort()).toEqual(["a", "b"]);
    expect(ids(await manager.list({ parent_id: "a" }))).toEqual(["fork"]);
  });

  test("rule 7.5: load() takes the newest of the others", async () => {
    const { manager, errors } = await open_with_no_entry();
    await manager.load();
    expect(["a", "b", "fork"]).toContain(manager.current_session_id);
    expect(errors.length).toBeGreaterThan(0);
  });

  test("rule 11: delete() keeps what forks inherit", async () => {
    const { store, manager } = await open_with_no_entry();
    expect(await manager.delete("a")).toBe(true);
    expect(await history_of(store, "fork")).toEqual([...texts(turns(1, "a"))!, ...texts(turns(1, "f"))!]);
  });

  test("rule 11: delete() with its forks deletes these, too", async () => {
    const { store, manager } = await open_with_no_entry();
    expect(await manager.delete("a", { forks: "cascade" })).toBe(true);
    store.entries = (entries) => entries;
    expect(ids(await store.list())).toEqual(["b"]);
  });

  test("rule 16: rewind() moves forks behind the cut", async () => {
    const { store, manager } = await open_with_no_entry();
    await manager.load("a");
    const tail = await manager.rewind("au1");
    expect(await history_of(store, "a")).toEqual(["question a1"]);
    expect(await history_of(store, tail!)).toEqual(texts(turns(2, "a")));
    expect(await history_of(store, "fork")).toEqual([...texts(turns(1, "a"))!, ...texts(turns(1, "f"))!]);
  });

  test("rule 10: a replaced history is kept", async () => {
    const { store, manager, conversation } = await open_with_no_entry();
    await manager.load("a");
    conversation.clear();
    conversation.turn("instead");
    await manager.flush();
    expect(await history_of(store, "a")).toEqual(said("instead"));
    expect(await history_of(store, "fork")).toEqual([...texts(turns(1, "a"))!, ...texts(turns(1, "f"))!]);
  });
});

test.each(NO_LISTS)(
  "rules 7.5 and 25: where a store's list is %s, list() and load() say that the storage failed",
  async (...args) => {
    const [, no_list] = args;
    const store = await open_careless();
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    store.entries = () => no_list;
    expect(await outcome_in_time(manager.list())).toBe("storage");
    expect(await outcome_in_time(manager.list({ limit: 1 }))).toBe("storage");
    expect(await outcome_in_time(manager.load())).toBe("storage");
    expect([manager.current_session_id, texts(conversation.messages)]).toEqual([id, said("one")]);
    conversation.turn("two");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("one", "two"));
  },
);

/** Results of `load()` that are not a session. */
const NO_SESSIONS: [string, unknown][] = [
  ["null", null],
  ["no messages", { metadata: { id: "a" } }],
  ["messages that are no array", { metadata: { id: "a" }, messages: "none" }],
  ["no metadata", { messages: [] }],
];

test.each(NO_SESSIONS)(
  "rules 7.5 and 25: where a store loads %s, load(id) rejects and nothing changes",
  async (_what, no_session) => {
    const store = await open_careless();
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    const load = store.load.bind(store);
    store.load = (of) => (of === "a" ? Promise.resolve(no_session as StoredSession) : load(of));
    await expect(manager.load("a")).rejects.toMatchObject({ name: "SessionError" });
    await expect(manager.fork("a")).rejects.toMatchObject({ name: "SessionError" });
    expect([manager.current_session_id, texts(conversation.messages)]).toEqual([id, said("one")]);
    conversation.turn("two");
    await manager.flush();
    expect(await history_of(store, id)).toEqual(said("one", "two"));
  },
);

/** Parents that no session can have. */
const BAD_PARENTS: [string, unknown][] = [
  ["a path out of the directory", "../x"],
  ["a path", "a/b"],
  ["an empty text", ""],
  ["a hidden file", ".hidden"],
  ["a text of 300 letters", "x".repeat(300)],
  ["a number", 5],
  ["an object", {}],
  ["null", null],
];

async function write_session(store: SessionStore, directory: string, parent_id: unknown): Promise<void> {
  await store.save("older", turns(1, "o"), { kind: "root", updated_at: "2025-01-01T00:00:00.000Z" });
  const date = "2025-01-02T00:00:00.000Z";
  const metadata = { id: "s", created_at: date, updated_at: date, message_count: 2, parent_id };
  await writeFile(join(directory, "s.json"), JSON.stringify({ metadata, messages: turns(1) }));
}

each_backend((backend) => {
  test.each(BAD_PARENTS)(
    "rule 8.6: where the parent of a session is %s, its own messages are read",
    async (...args) => {
      const [, parent_id] = args;
      const { store, directory = "" } = await open_backend(backend);
      await write_session(store, directory, parent_id);
      const newest = open_plain(store);
      await newest.manager.load();
      expect([newest.manager.current_session_id, newest.conversation.messages]).toEqual(["s", turns(1)]);
      const { manager, conversation } = open_plain(store);
      await manager.load("s");
      expect(conversation.messages).toEqual(turns(1));
      conversation.turn("two");
      await manager.flush();
      expect(texts((await store.load("s"))?.messages)).toEqual([...texts(turns(1))!, ...said("two")]);
      expect(await history_of_readable(store)).toEqual([...texts(turns(1))!, ...said("two")]);
      const fork = await manager.fork("s");
      await manager.flush();
      expect(texts(conversation.messages)).toEqual([...texts(turns(1))!, ...said("two")]);
      expect(fork).not.toBe("s");
      expect(await manager.delete("s")).toBe(true);
      expect(texts((await store.load(fork))?.messages)).toEqual([...texts(turns(1))!, ...said("two")]);
    },
  );
}, keeps_files);

/** The texts that a manager shows of `s`. The manager may report that the parent is missing. */
async function history_of_readable(store: SessionStore): Promise<string[] | undefined> {
  const { manager, conversation } = open_plain(store, { auto_save: false });
  await manager.load("s");
  return texts(conversation.messages);
}
