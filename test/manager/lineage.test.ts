import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SessionMetadata } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { each_backend, keeps_files } from "../backends.js";
import { assistant, ids, texts, turns, user } from "../support/messages.js";
import { open_backend, open_plain, open_recording, open_session, record_of } from "../support/open-session.js";

const FORK_POINTS: [string, Partial<SessionMetadata>, number][] = [
  ["a count alone decides", { fork_message_count: 3 }, 3],
  ["without either, everything is inherited", {}, 4],
  ["a count past the end is everything", { fork_message_count: 9 }, 4],
  ["an id decides", { fork_message_id: "a1" }, 2],
  ["an id decides against a count", { fork_message_id: "a1", fork_message_count: 3 }, 2],
  ["a count of nothing is nothing", { fork_message_count: 0 }, 0],
];

each_backend((backend) => {
  test("rule 8.4: a chain of 60 parents is resolved, each record read once", async () => {
    const store = await open_recording(backend);
    await store.save("s0", turns(1, "0."), { kind: "root" });
    for (let n = 1; n < 60; n += 1) {
      await store.save(`s${n}`, turns(1, `${n}.`), {
        kind: "fork",
        parent_id: `s${n - 1}`,
        fork_message_id: `${n - 1}.a1`,
      });
    }
    const { manager, conversation } = open_session(store);
    const expected = Array.from({ length: 60 }, (_, n) => turns(1, `${n}.`)).flat();
    store.forget_calls();
    await manager.load("s59");
    expect(conversation.messages).toEqual(expected);
    expect(ids(store.of("load"))).toEqual(Array.from({ length: 60 }, (_, n) => `s${59 - n}`));
    store.forget_calls();
    await manager.fork("s59");
    expect(conversation.messages).toEqual(expected);
    expect(ids(store.of("load").slice(0, 60))).toEqual(Array.from({ length: 60 }, (_, n) => `s${59 - n}`));
    expect(ids(store.of("load").slice(60))).toEqual(["s59"]); // whether it is still there, once the fork is written
  });

  test("rule 8.4: in a chain, each fork cuts what it inherits at its own point", async () => {
    const store = await open_recording(backend);
    await store.save("root", turns(3), { kind: "root" });
    await store.save("middle", turns(2, "m"), { kind: "fork", parent_id: "root", fork_message_id: "a2" });
    await store.save("leaf", turns(1, "l"), { kind: "fork", parent_id: "middle", fork_message_id: "ma1" });
    const { manager, conversation } = open_session(store);
    await manager.load("leaf");
    expect(ids(conversation.messages)).toEqual(["u1", "a1", "u2", "a2", "mu1", "ma1", "lu1", "la1"]);
  });

  test("rule 8.8: what comes behind a detached session is not read", async () => {
    const store = await open_recording(backend);
    await store.save("root", turns(1, "r"));
    await store.save("detached", turns(1, "d"), { parent_id: "root", detached: true });
    await store.save("leaf", turns(1, "l"), { parent_id: "detached", fork_message_id: "da1" });
    const { manager, conversation } = open_session(store);
    store.forget_calls();
    await manager.load("leaf");
    expect(ids(conversation.messages)).toEqual(["du1", "da1", "lu1", "la1"]);
    expect(ids(store.of("load"))).toEqual(["leaf", "detached"]);
  });

  test.each([[["a", "a"]], [["a", "b", "a"]], [["a", "b", "c", "d", "b"]]])(
    "rule 8.4: a cycle is lineage, and nothing changes: %j",
    async (chain) => {
      const store = await open_recording(backend);
      for (const [index, parent_id] of chain.slice(1).entries()) {
        await store.save(chain[index]!, turns(1), { kind: "fork", parent_id });
      }
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      conversation.turn("one");
      await manager.flush();
      store.forget_calls();
      store.fail("load", { nth: 20, times: Infinity }, new Error("read without end"));
      await expect(manager.load("a")).rejects.toMatchObject({ name: "SessionError", code: "lineage" });
      await expect(manager.fork("a")).rejects.toMatchObject({ code: "lineage" });
      expect([manager.current_session_id, conversation.messages.length]).toEqual([id, 2]);
      expect(store.writes()).toEqual([]);
      expect(store.of("load")).toHaveLength(2 * new Set(chain).size);
    },
  );

  test.each(FORK_POINTS)("rule 8.5: %s", async (_what, point, inherited) => {
    const store = await open_recording(backend);
    await store.save("parent", turns(2), { kind: "root" });
    await store.save("fork", turns(1, "f"), { kind: "fork", parent_id: "parent", ...point });
    const { manager, conversation, errors } = open_plain(store);
    await manager.load("fork");
    expect(conversation.messages).toEqual([...turns(2).slice(0, inherited), ...turns(1, "f")]);
    expect(errors).toEqual([]);
    conversation.turn("on");
    await manager.flush();
    expect(texts((await record_of(store, "fork")).messages)).toEqual(["question f1", "answer f1", "on", "re: on"]);
  });

  test("rule 8.5: of two messages with the fork point's id, the count tells which", async () => {
    const store = await open_recording(backend);
    await store.save("parent", [user("x", "same"), assistant("y", "a1"), user("x", "same"), assistant("z", "a2")]);
    await store.save("fork", [], { parent_id: "parent", fork_message_id: "same", fork_message_count: 3 });
    const { manager, conversation } = open_plain(store);
    await manager.load("fork");
    expect(ids(conversation.messages)).toEqual(["same", "a1", "same"]);
  });

  test.each([
    ["what the count says", { fork_message_count: 3 }, 3],
    ["everything", {}, 4],
  ])("rule 8.6: where the parent lost the fork point, %s is loaded, and reported", async (_what, count, inherited) => {
    const store = await open_recording(backend);
    await store.save("parent", turns(2), { kind: "root" });
    await store.save("fork", turns(1, "f"), { kind: "fork", parent_id: "parent", fork_message_id: "lost", ...count });
    const { manager, conversation, errors } = open_plain(store);
    await manager.load("fork");
    expect(conversation.messages).toEqual([...turns(2).slice(0, inherited), ...turns(1, "f")]);
    expect(manager.current_session_id).toBe("fork");
    expect(errors).toMatchObject([{ operation: "load", context: { session_id: "fork" } }]);
    expect((errors[0]?.error as Error).message).toMatch(/lost.*fork.*parent/);
  });

  test("rule 8.6: where the parent is gone, what remains is loaded, and reported", async () => {
    const store = await open_recording(backend);
    await store.save("fork", turns(1, "f"), { kind: "fork", parent_id: "gone", fork_message_id: "a1" });
    await store.save("leaf", turns(1, "l"), { kind: "fork", parent_id: "fork", fork_message_id: "fa1" });
    const { manager, conversation, errors } = open_plain(store);
    await manager.load("leaf");
    expect(ids(conversation.messages)).toEqual(["fu1", "fa1", "lu1", "la1"]);
    expect(errors.every(({ context }) => context?.["session_id"] === "leaf")).toBe(true);
    expect(errors.some(({ error }) => (error as Error).message.includes("gone"))).toBe(true);
    conversation.turn("on");
    await manager.flush();
    expect((await record_of(store, "leaf")).messages).toHaveLength(4);
  });

  test("rule 8.6: a fork of a session that lacks some of its past says so", async () => {
    const store = await open_recording(backend);
    await store.save("parent", turns(1), { kind: "fork", parent_id: "gone", fork_message_id: "a0" });
    const { manager, conversation, errors } = open_plain(store);
    await manager.fork("parent");
    expect(ids(conversation.messages)).toEqual(["u1", "a1"]);
    expect(errors.some(({ error }) => (error as Error).message.includes("gone"))).toBe(true);
  });
});

each_backend((backend) => {
  test("rule 8.4: a damaged parent is corrupt, and nothing changes", async () => {
    const { store, directory = "" } = await open_backend(backend);
    await store.save("parent", turns(1));
    await store.save("fork", turns(1, "f"), { kind: "fork", parent_id: "parent" });
    await writeFile(join(directory, "parent.json"), '{"metadata": {}, "messages": [');
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await expect(manager.load("fork")).rejects.toMatchObject({ code: "corrupt", session_id: "parent" });
    await expect(manager.fork("fork")).rejects.toMatchObject({ code: "corrupt" });
    await expect(manager.fork("parent")).rejects.toMatchObject({ code: "corrupt" });
    expect([manager.current_session_id, conversation.messages.length]).toEqual([id, 2]);
    expect((await store.list()).map((entry) => entry.id).sort()).toEqual(["fork", "parent", id].sort());
  });
}, keeps_files);
