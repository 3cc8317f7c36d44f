import { SessionError, type SessionMetadata } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { count_through, fork_point } from "../src/lineage.js";
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
