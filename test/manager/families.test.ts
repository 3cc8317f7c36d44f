import { InMemorySessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { in_time } from "../support/in-time.js";
import { texts, turns } from "../support/messages.js";
import { open_plain } from "../support/open-session.js";

const COUNT = 2_000;
const LIMIT_MS = 20_000;

describe(`a family of ${COUNT} sessions`, () => {
  test("rule 11: cascade deletes all children", async () => {
    const store = new InMemorySessionStore();
    await store.save("root", turns(1), { kind: "root" });
    await store.save("other", turns(1), { kind: "root" });
    for (let n = 0; n < COUNT; n += 1) {
      await store.save(`child-${n}`, turns(1), { kind: "child", parent_id: "root", detached: true });
    }
    const { manager, errors } = open_plain(store);
    expect(await in_time(manager.delete("root", { forks: "cascade" }), "delete()", LIMIT_MS)).toBe(true);
    expect((await store.list()).map(({ id }) => id)).toEqual(["other"]);
    expect(errors).toEqual([]);
  });

  test("rule 11: cascade deletes the children of the current session that live in this process", async () => {
    const store = new InMemorySessionStore();
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    for (let n = 0; n < COUNT; n += 1) {
      conversation.spawn().turn(`child ${n}`);
    }
    await in_time(manager.flush(), "flush()", LIMIT_MS);
    expect(await store.list()).toHaveLength(COUNT + 1);
    expect(await in_time(manager.delete(id, { forks: "cascade" }), "delete()", LIMIT_MS)).toBe(true);
    await in_time(manager.flush(), "flush()", LIMIT_MS);
    expect(await store.list()).toEqual([]);
  });

  test("rule 8.4: a chain of parents is read, rewound and deleted", async () => {
    const store = new InMemorySessionStore();
    await store.save("fork-0", turns(1, "0 "), { kind: "root" });
    for (let n = 1; n < COUNT; n += 1) {
      const lineage = { parent_id: `fork-${n - 1}`, fork_message_id: `${n - 1} a1`, fork_message_count: 2 * n };
      await store.save(`fork-${n}`, turns(1, `${n} `), { kind: "fork", ...lineage });
    }
    const { manager, conversation, errors } = open_plain(store);
    await in_time(manager.load(`fork-${COUNT - 1}`), "load()", LIMIT_MS);
    expect(conversation.messages).toHaveLength(2 * COUNT);
    await in_time(manager.rewind("0 u1"), "rewind()", LIMIT_MS);
    expect(texts(conversation.messages)).toEqual(["question 0 1"]);
    expect(await in_time(manager.delete("fork-0", { forks: "cascade" }), "delete()", LIMIT_MS)).toBe(true);
    expect(await store.list()).toEqual([]);
    expect(errors).toEqual([]);
  });
});
