import { AwaitingProvider, Conversation } from "@simulacra-ai/core";
import { SessionManager, type SessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { ask } from "../../core/helpers.js";
import { echo } from "../../support/echo.js";
import { loaded } from "../helpers.js";
import { each_database, use_tables } from "./databases.js";

function open_manager(store: SessionStore) {
  const conversation = new Conversation(new AwaitingProvider(echo));
  const manager = new SessionManager(store, conversation);
  const errors: unknown[] = [];
  manager.on("lifecycle_error", ({ error }) => errors.push(error));
  return { conversation, manager, errors };
}

each_database((database) => {
  const { open } = use_tables(database, 1);

  test("rules 1, 2 and 9: turns are appended as they complete, another process goes on, and a conflict forks", async () => {
    const { store, reopen } = open();
    const first = open_manager(store);
    const id = first.manager.start_new();
    for (const text of ["one", "two"]) {
      await ask(first.conversation, text);
    }
    await first.manager.flush();
    expect((await loaded(store, id)).metadata).toMatchObject({ label: "one", message_count: 4, kind: "root" });
    expect(await loaded(store, id)).not.toHaveProperty("draft");

    const second = open_manager(reopen());
    await second.manager.load();
    expect(second.conversation.messages).toEqual(first.conversation.messages);
    await ask(second.conversation, "three");
    await second.manager.flush();
    await ask(first.conversation, "another third");
    await first.manager.flush();
    const fork = first.manager.current_session_id ?? "";
    expect(fork).not.toBe(id);
    expect((await loaded(store, id)).messages).toEqual(second.conversation.messages);
    expect((await loaded(store, fork)).metadata).toMatchObject({ kind: "fork", parent_id: id, message_count: 2 });

    const fourth = await second.manager.fork(id, { message_id: second.conversation.messages[1]?.id ?? "" });
    await ask(second.conversation, "a way of its own");
    await second.manager.flush();
    await second.manager.delete(id);
    const reader = open_manager(reopen());
    await reader.manager.load(fourth);
    expect(reader.conversation.messages).toEqual(second.conversation.messages);
    expect(reader.conversation.messages).toHaveLength(4);
    for (const { manager, errors } of [first, second, reader]) {
      await manager[Symbol.asyncDispose]();
      expect(errors).toEqual([]);
    }
  });
});
