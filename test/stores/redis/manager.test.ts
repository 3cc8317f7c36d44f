import { describe, expect, test } from "vitest";
import { ask } from "../../core/helpers.js";
import { echo } from "../../support/echo.js";
import { user } from "../../support/messages.js";
import { open_session } from "../../support/open-session.js";
import { HAS_SHARED, use_shared } from "./servers.js";

describe.skipIf(!HAS_SHARED)("a session manager over Redis", () => {
  const { open } = use_shared();

  test("rules 1 and 2: turns are appended as they complete, and another process goes on with them", async () => {
    const { store, prefix } = open();
    const first = open_session(store);
    const id = first.manager.start_new();
    for (const text of ["one", "two", "three"]) {
      await ask(first.conversation, text);
    }
    await first.manager[Symbol.asyncDispose]();
    expect((await store.load(id))?.messages).toEqual(first.conversation.messages);

    const second = open_session(open({ prefix }).store);
    await second.manager.load();
    expect(second.manager.current_session_id).toBe(id);
    await ask(second.conversation, "four");
    await second.manager[Symbol.asyncDispose]();
    const stored = await store.load(id);
    expect(stored?.messages).toEqual(second.conversation.messages);
    expect(stored?.metadata).toMatchObject({ label: "one", message_count: 8, kind: "root" });
    expect(stored?.draft).toBeUndefined();
    expect([...first.errors, ...second.errors]).toEqual([]);
  });

  test("rules 4, 8, 9 and 11: forks, children, another writer, and deletion", async () => {
    const { store } = open();
    const { conversation, manager, errors } = open_session(store, { script: echo });
    const root = manager.start_new();
    await ask(conversation, "one");
    await ask(conversation, "two");
    await ask(conversation.spawn_child(), "a child's");
    const fork = await manager.fork(root, { message_id: conversation.messages[1]?.id ?? "" });
    await ask(conversation, "another way");
    await manager.flush();
    const of_root = await manager.list({ parent_id: root });
    expect(of_root.map(({ kind }) => kind).sort()).toEqual(["child", "fork"]);
    const conflicts: string[] = [];
    manager.on("conflict", ({ fork_id }) => conflicts.push(fork_id));
    await store.save(fork, [user("theirs")]);
    await ask(conversation, "not theirs");
    await manager.flush();
    expect(conflicts).toEqual([manager.current_session_id]);
    await manager.delete(root, { forks: "cascade" });
    await manager[Symbol.asyncDispose]();
    expect(errors).toEqual([]);
    expect(await store.load(root)).toBeUndefined();
  });
});
