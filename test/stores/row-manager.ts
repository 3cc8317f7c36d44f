import { AwaitingProvider, Conversation, StreamingProvider, type ScriptedProvider } from "@simulacra-ai/core";
import { SessionManager, type SessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { ask } from "../core/helpers.js";
import { echo } from "../support/echo.js";
import type { RowBackend } from "./row-backends.js";
import { open_store } from "./row-store.js";

function open(store: SessionStore, provider: ScriptedProvider = new AwaitingProvider(echo)) {
  const conversation = new Conversation(provider);
  const manager = new SessionManager(store, conversation);
  const errors: unknown[] = [];
  manager.on("lifecycle_error", ({ error }) => errors.push(error));
  return { conversation, manager, errors };
}

/** A session manager over the store: no capability, and everything works. */
export function define_row_manager(backend: RowBackend): void {
  test("rules 1 and 2: turns are stored as they complete, and another process goes on with them", async () => {
    const { store, table } = await open_store(backend);
    const first = open(store);
    const id = first.manager.start_new();
    for (const text of ["one", "two", "three"]) {
      await ask(first.conversation, text);
    }
    await first.manager[Symbol.asyncDispose]();
    expect((await store.load(id))?.messages).toEqual(first.conversation.messages);
    expect((await store.load(id))?.metadata).toMatchObject({ label: "one", message_count: 6, kind: "root" });

    const second = open(backend.open(table), new StreamingProvider(() => ({ text: "streamed" })));
    await second.manager.load();
    expect(second.manager.current_session_id).toBe(id);
    expect(second.conversation.messages).toEqual(first.conversation.messages);
    await ask(second.conversation, "four");
    await second.manager[Symbol.asyncDispose]();
    expect((await store.load(id))?.messages).toEqual(second.conversation.messages);
    expect(second.conversation.messages).toHaveLength(8);
    expect([...first.errors, ...second.errors]).toEqual([]);
  });

  test("rules 4, 8 and 12: forks, children and new names", async () => {
    const { store, table } = await open_store(backend);
    const { conversation, manager, errors } = open(store);
    const root = manager.start_new();
    await ask(conversation, "one");
    await ask(conversation, "two");
    const [, answer] = conversation.messages;
    const child = conversation.spawn_child();
    await ask(child, "a child's");
    const fork = await manager.fork(root, { message_id: answer?.id ?? "" });
    await ask(conversation, "another way");
    await manager.rename(root, "by hand");
    await manager.rename(fork, "way");
    await ask(conversation, "on it");
    await manager.flush();

    const entries = await manager.list();
    expect(entries.map(({ kind }) => kind).sort()).toEqual(["child", "fork", "root"]);
    expect((await manager.list({ parent_id: root })).length).toBe(2);
    expect((await store.load(root))?.metadata).toMatchObject({
      label: "by hand",
      label_source: "user",
      message_count: 4,
    });
    expect((await store.load(fork))?.metadata).toMatchObject({ parent_id: root, label: "way", message_count: 4 });
    const of_child = entries.find(({ kind }) => kind === "child");
    expect(of_child).toMatchObject({ parent_id: root, detached: true, message_count: 2 });

    const reader = open(backend.open(table));
    await reader.manager.load(fork);
    expect(reader.conversation.messages).toEqual(conversation.messages);
    expect(reader.conversation.messages).toHaveLength(6);
    await reader.manager.delete(fork);
    expect(await store.load(fork)).toBeUndefined();
    await Promise.all([manager[Symbol.asyncDispose](), reader.manager[Symbol.asyncDispose]()]);
    expect([...errors, ...reader.errors]).toEqual([]);
  });

  test("rule 7: load() passes over a session that cannot be read", async () => {
    const { store, table } = await open_store(backend);
    await store.save("whole", [], { updated_at: "2024-01-01T00:00:00.000Z" });
    const quoted = '\'{"created_at":"2024-01-02","updated_at":"2024-01-02"}\'';
    await table.client.execute(
      `INSERT INTO "${table.name}" VALUES ('bad', ${quoted}, '{}', '2024-01-02T00:00:00.000Z')`,
    );
    const { manager, errors } = open(store);
    await manager.load();
    expect(manager.current_session_id).toBe("whole");
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatchObject({ code: "corrupt", session_id: "bad" });
    await manager[Symbol.asyncDispose]();
  });
}
