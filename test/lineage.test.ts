import { SessionError, type SessionMetadata, type StoredSession } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { count_through, fork_point, inherits, resolve_session } from "../src/lineage.js";
import { each_backend } from "./backends.js";
import { assistant, texts, user } from "./support/messages.js";
import { metadata_of, open_plain, open_recording, record_of } from "./support/open-session.js";

/** Questions and answers of which every second turn has the ids of the one before. */
const REPEATED = [1, 2, 3].flatMap((n) => [user(`question ${n}`, "u"), assistant(`answer ${n}`, "a")]);
const THROUGH_LAST = ["question 1", "answer 1", "question 2", "answer 2", "question 3"];

function metadata(more: object): SessionMetadata {
  return { id: "s", created_at: "", updated_at: "", message_count: 0, parent_id: "p", ...more };
}

test("rule 8: of an id that occurs twice, the last occurrence counts", () => {
  expect(count_through(REPEATED, "u", "s")).toBe(5);
  expect(count_through(REPEATED, "a", "s")).toBe(6);
  expect(() => count_through(REPEATED, "b", "s")).toThrow(SessionError);
});

test("rule 8: a fork point that is stored is the message at its count, where that has its id", () => {
  for (const fork_message_count of [1, 3, 5]) {
    expect(fork_point(metadata({ fork_message_id: "u", fork_message_count }), REPEATED).count).toBe(fork_message_count);
  }
});

describe.each(["../x", "", 5, true, { id: "p" }, ["p"]])("below %j, which is no valid id", (parent_id) => {
  const own = [user("one", "u1")];
  const child = [user("two", "u2")];
  const sessions = new Map([
    ["s", { metadata: metadata({ parent_id, fork_message_id: "m" }), messages: own }],
    ["child", { metadata: metadata({ id: "child", parent_id: "s", fork_message_id: "u1" }), messages: child }],
    ["detached", { metadata: metadata({ id: "detached", parent_id, detached: true }), messages: own }],
    ["empty", { metadata: metadata({ id: "empty", parent_id, fork_message_count: 0 }), messages: own }],
  ]);
  const load = async (id: string): Promise<StoredSession | undefined> => {
    if (typeof id !== "string" || id === "" || id.includes("/")) {
      throw new SessionError("invalid_id", "no valid id");
    }
    return sessions.get(id);
  };

  test("rule 8: the parent is missing, and the session resolves to its own messages", async () => {
    const resolved = await resolve_session("s", load);
    expect(resolved).toMatchObject({ messages: own, inherited: 0, chain: [sessions.get("s")] });
    expect(resolved?.missing[0]).toBe(`the parent of session s has no valid id: ${JSON.stringify(parent_id)}`);
  });

  test("rule 8: a fork of the session inherits what the session holds", async () => {
    const resolved = await resolve_session("child", load);
    expect(resolved).toMatchObject({ messages: [...own, ...child], inherited: 1 });
    expect(resolved?.missing[0]).toContain("the parent of session s has no valid id");
  });

  test.each(["detached", "empty"])("rule 8: where nothing is to be inherited, nothing is missing: %s", async (id) => {
    expect(await resolve_session(id, load)).toMatchObject({ messages: own, inherited: 0, missing: [] });
  });

  test("rule 8: a session that is itself asked for by no valid id is an error", async () => {
    const id = parent_id as string;
    await expect(resolve_session(id, load)).rejects.toMatchObject({ code: "invalid_id" });
  });
});

test("rule 8: another error of the parent stays an error", async () => {
  const load = async (id: string): Promise<StoredSession | undefined> => {
    if (id === "p") {
      throw new SessionError("corrupt", "damaged");
    }
    return { metadata: metadata({}), messages: [] };
  };
  await expect(resolve_session("s", load)).rejects.toMatchObject({ code: "corrupt" });
});

test("rule 8: a session inherits where its parent's id is a text that is not empty", () => {
  expect(["p", "../x"].map((parent_id) => inherits(metadata({ parent_id })))).toEqual([true, true]);
  for (const parent_id of [undefined, null, "", 5, true, {}, ["p"]]) {
    expect(inherits(metadata({ parent_id }))).toBe(false);
  }
  expect(inherits(metadata({ detached: true }))).toBe(false);
  expect(inherits(metadata({ fork_message_count: 0 }))).toBe(false);
});

each_backend((backend) => {
  test("rules 8 and 16: fork and rewind take the last of the messages with an id", async () => {
    const store = await open_recording(backend);
    await store.save("p", REPEATED);
    const { manager, conversation } = open_plain(store);
    const fork = await manager.fork("p", { message_id: "u" });
    expect(texts(conversation.messages)).toEqual(THROUGH_LAST);
    expect(await metadata_of(store, fork)).toMatchObject({ fork_message_id: "u", fork_message_count: 5 });
    await manager.load("p");
    const tail = await manager.rewind("u");
    expect(texts(conversation.messages)).toEqual(THROUGH_LAST);
    expect(texts((await record_of(store, "p")).messages)).toEqual(THROUGH_LAST);
    await manager.load(tail);
    expect(texts(conversation.messages)).toEqual(texts(REPEATED));
    await manager.load(fork);
    expect(texts(conversation.messages)).toEqual(THROUGH_LAST);
  });
});
