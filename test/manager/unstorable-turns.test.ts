import type { Message } from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { each_backend, type Backend } from "../backends.js";
import { history_of, others_than, said } from "../support/histories.js";
import { outcome_in_time } from "../support/in-time.js";
import { assistant, user } from "../support/messages.js";
import { metadata_of, open_plain, open_recording } from "../support/open-session.js";
import type { PlainConversation } from "../support/plain-conversation.js";

function cycle(): object {
  const value: Record<string, unknown> = {};
  value["self"] = value;
  return value;
}

/** Makes a reply with a tool call that has these parameters. */
const reply_with = (params: unknown) =>
  ({
    role: "assistant",
    id: "bad-reply",
    content: [{ type: "tool", tool: "t", tool_request_id: "r", params }],
  }) as Message;

/** Second turns that no store can hold, with the id and the position of the bad message. */
const UNSTORABLE: [string, () => [unknown, unknown], id: string, position: number][] = [
  ["a BigInt in the reply", () => [user("two"), reply_with({ count: 1n })], "bad-reply", 3],
  ["a cycle in the reply", () => [user("two"), reply_with(cycle())], "bad-reply", 3],
  [
    "a BigInt in the prompt",
    () => [{ ...user("two", "bad-prompt"), extra: 1n }, assistant("re: two")],
    "bad-prompt",
    2,
  ],
  [
    "a value that refuses to be JSON",
    () => [
      user("two"),
      reply_with({
        toJSON: () => {
          throw new Error("not as JSON");
        },
      }),
    ],
    "bad-reply",
    3,
  ],
  [
    "null among the contents",
    () => [user("two"), { role: "assistant", id: "bad-reply", content: [null] }],
    "bad-reply",
    3,
  ],
  [
    "content that is no array",
    () => [user("two"), { role: "assistant", id: "bad-reply", content: "re" }],
    "bad-reply",
    3,
  ],
  ["no content", () => [user("two"), { role: "assistant", id: "bad-reply" }], "bad-reply", 3],
  ["no role", () => [user("two"), { id: "bad-reply", content: [{ type: "text", text: "re" }] }], "bad-reply", 3],
  ["null in place of a message", () => [user("two"), null], "", 3],
  [
    "null in place of a content of the prompt",
    () => [{ ...user("two", "bad-prompt"), content: [null] }, assistant("re: two")],
    "bad-prompt",
    2,
  ],
];

function push_turn(conversation: PlainConversation, messages: [unknown, unknown]): void {
  conversation.messages.push(...(messages as Message[]));
  conversation.emit("message_complete");
}

async function open_with_bad_turn(backend: Backend, bad: [unknown, unknown]) {
  const store = await open_recording(backend);
  const opened = open_plain(store);
  const id = opened.manager.start_new();
  opened.conversation.turn("one");
  push_turn(opened.conversation, bad);
  return { store, id, ...opened };
}

/** The messages of a conversation without those of its second turn. */
function without_bad({ messages }: PlainConversation): Message[] {
  return messages.filter((_message, at) => at !== 2 && at !== 3);
}

each_backend((backend) => {
  describe.each(UNSTORABLE)("a turn with %s", (_what, make, bad_id, position) => {
    test("rules 1.10 and 25: is left out, and later turns are stored behind what was before it", async () => {
      const { store, id, manager, conversation, errors } = await open_with_bad_turn(backend, make());
      await manager.flush().catch(() => undefined);
      expect(await history_of(store, id)).toEqual(said("one"));
      for (const text of ["three", "four"]) {
        conversation.turn(text);
        await manager.flush().catch(() => undefined);
      }
      expect(await history_of(store, id)).toEqual(said("one", "three", "four"));
      expect((await metadata_of(store, id)).message_count).toBe(6);
      expect([await others_than(store, id), errors]).toMatchObject([[], [{ error: { code: "invalid_input" } }]]);
      expect(conversation.messages).toHaveLength(8);
    });

    test("rules 1.10 and 25: is reported once, with the id and the position of the message", async () => {
      const { id, manager, conversation, errors } = await open_with_bad_turn(backend, make());
      conversation.turn("three");
      await manager.flush().catch(() => undefined);
      conversation.turn("four");
      await manager.flush().catch(() => undefined);
      expect(errors).toMatchObject([
        { operation: "save", error: { name: "SessionError", code: "invalid_input" }, context: { session_id: id } },
      ]);
      const { message } = errors[0]?.error as Error;
      expect(message).toContain(bad_id);
      expect(message).toMatch(new RegExp(`\\b${position}\\b`)); // positions count from 0, as in the messages of the stores
    });

    test("rule 15.4: makes flush() reject as long as the conversation holds it", async () => {
      const { store, id, manager, conversation } = await open_with_bad_turn(backend, make());
      expect(await outcome_in_time(manager.flush())).toBe("invalid_input");
      conversation.turn("three");
      expect(await outcome_in_time(manager.flush())).toBe("invalid_input");
      expect(manager.last_error).toMatchObject({ code: "invalid_input" });
      conversation.load(without_bad(conversation));
      expect(await outcome_in_time(manager.flush())).toBe("done");
      conversation.turn("four");
      expect(await outcome_in_time(manager.flush())).toBe("done");
      expect(manager.last_error).toBeUndefined();
      expect(await history_of(store, id)).toEqual(said("one", "three", "four"));
    });
  });

  test("rules 1.10 and 25: a session of which the first turn cannot be stored takes the later ones", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    push_turn(conversation, [user("one"), reply_with({ count: 1n })]);
    conversation.turn("two");
    expect(await outcome_in_time(manager.flush())).toBe("invalid_input");
    expect(await history_of(store, id)).toEqual(said("two"));
    conversation.clear();
    expect(await outcome_in_time(manager.flush())).toBe("done");
  });

  test("rules 1.10 and 25: of two such turns each is reported once, and both are left out", async () => {
    const { store, id, manager, conversation, errors } = await open_with_bad_turn(backend, [
      user("two"),
      reply_with({ count: 1n }),
    ]);
    conversation.turn("three");
    push_turn(conversation, [user("four"), { ...reply_with(cycle()), id: "another-reply" }]);
    conversation.turn("five");
    expect(await outcome_in_time(manager.flush())).toBe("invalid_input");
    expect(await history_of(store, id)).toEqual(said("one", "three", "five"));
    expect(errors.map(({ error }) => (error as { code?: string }).code)).toEqual(["invalid_input", "invalid_input"]);
    expect((errors[0]?.error as Error).message).toContain("bad-reply");
    expect((errors[1]?.error as Error).message).toContain("another-reply");
  });

  test("rule 4: a turn of a child that cannot be stored costs its parent nothing", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    const child = conversation.spawn();
    child.turn("of the child");
    push_turn(child, [user("bad"), reply_with({ count: 1n })]);
    child.turn("of the child, again");
    conversation.turn("one");
    expect(await outcome_in_time(manager.flush())).toBe("invalid_input");
    expect(await history_of(store, id)).toEqual(said("one"));
    const [child_id] = await others_than(store, id);
    expect(await history_of(store, child_id!)).toEqual(said("of the child", "of the child, again"));
    expect(errors).toMatchObject([{ error: { code: "invalid_input" }, context: { session_id: child_id } }]);
  });

  test("rule 25: a session that is left with such a turn leaves the next one alone", async () => {
    const { store, id, manager, conversation } = await open_with_bad_turn(backend, [
      user("two"),
      reply_with({ count: 1n }),
    ]);
    const next = manager.start_new();
    conversation.turn("next");
    await manager.flush();
    expect(await history_of(store, next)).toEqual(said("next"));
    expect(await history_of(store, id)).toEqual(said("one"));
  });

  test("rules 15.4 and 25: closing with such a turn stores all others and rejects", async () => {
    const { store, id, manager, conversation } = await open_with_bad_turn(backend, [
      user("two"),
      reply_with({ count: 1n }),
    ]);
    conversation.turn("three");
    expect(await outcome_in_time(manager[Symbol.asyncDispose]())).toBe("invalid_input");
    expect(await history_of(store, id)).toEqual(said("one", "three"));
  });

  test.each([
    ["a BigInt", { output_tokens: 1n }],
    ["a text", { output_tokens: "many" }],
    ["no number", { output_tokens: NaN }],
    ["no object", "many"],
    ["null", null],
  ])("rule 14: usage of a turn that is %s costs no turn", async (_what, usage) => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one", "re: one", { usage: { output_tokens: 1 } });
    conversation.turn("two", "re: two", { usage });
    conversation.turn("three", "re: three", { usage: { output_tokens: 1 } });
    await outcome_in_time(manager.flush());
    expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
    expect((await metadata_of(store, id)).usage).toMatchObject({ output_tokens: 2 });
  });
});
