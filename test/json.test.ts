import { InMemorySessionStore, SessionManager } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { user } from "./support/messages.js";
import { PlainConversation } from "./support/plain-conversation.js";

/** The most levels that a message or metadata may have, their own object included. */
const MOST = 3000;

/** Makes so many levels of objects or arrays. */
function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = "x";
  for (let n = 0; n < levels; n += 1) {
    value = wrap(value);
  }
  return value;
}

describe.each([
  ["objects", (inner: unknown) => ({ a: inner })],
  ["arrays", (inner: unknown) => [inner, "]}"]],
] as const)("rule 25: levels of %s", (_, wrap) => {
  const message = (levels: number) => ({ ...user("deep"), extra: nested(levels - 1, wrap) });
  const refused = { code: "invalid_input", cause: expect.any(RangeError) as unknown };

  test("as many as are allowed come back, one more is refused", async () => {
    const store = new InMemorySessionStore();
    await store.save("s", [message(MOST)], { custom: nested(MOST - 1, wrap) } as object);
    expect(JSON.stringify((await store.load("s"))?.messages)).toBe(JSON.stringify([message(MOST)]));
    await expect(store.save("s", [message(MOST + 1)])).rejects.toMatchObject(refused);
    await expect(store.update("s", { custom: nested(MOST, wrap) } as object)).rejects.toMatchObject(refused);
    const draft = { prompt: message(MOST), updated_at: "2024-01-01T00:00:00.000Z" };
    await expect(store.set_draft("s", draft)).rejects.toMatchObject(refused);
  });

  test("a turn with more of them is left out, and later turns are stored", async () => {
    const store = new InMemorySessionStore();
    const conversation = new PlainConversation();
    const manager = new SessionManager(store, conversation);
    const errors: unknown[] = [];
    manager.on("lifecycle_error", ({ error }) => errors.push(error));
    const id = manager.start_new();
    conversation.messages.push(message(MOST + 1));
    conversation.turn("later");
    await expect(manager.flush()).rejects.toMatchObject({ code: "invalid_input" });
    conversation.turn("last");
    await manager.flush().catch(() => undefined);
    expect((await store.load(id))?.messages.at(-1)).toMatchObject({ content: [{ text: "re: last" }] });
    expect(errors).toHaveLength(1);
  });
});

test("rule 25: brackets and quotes in texts are no levels", async () => {
  const texts = ["[".repeat(4000), '{"'.repeat(4000), '\\"['.repeat(4000), "[\\", '"'];
  const store = new InMemorySessionStore();
  const messages = [{ ...user("plain"), texts, [`${texts.join("")}`]: texts }, ...texts.map((text) => user(text))];
  await store.save("s", messages);
  expect((await store.load("s"))?.messages).toEqual(messages);
});
