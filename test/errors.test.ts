import { FileSessionStore, InMemorySessionStore, SessionError, SessionManager } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { PlainConversation } from "./support/plain-conversation.js";

const HOSTILE_ID = "a\u001b[2J\r\nb\u0000\u009b";

test("rule 25: an error's text holds its control characters escaped", () => {
  const cause = new Error("raw\n\u001b[31m");
  const error = new SessionError("storage", "\\ 1\n2\r3\t4\u0000\u001b\u007f\u0085\u009f é 漢 😀", { cause });
  expect(error.message).toBe("\\ 1\\n2\\r3\\t4\\u0000\\u001b\\u007f\\u0085\\u009f é 漢 😀");
  expect(error.stack).toContain(error.message);
  expect(error.cause).toBe(cause);
  expect(new SessionError("storage", error.message).message).toBe(error.message);
  for (let code = 0; code < 0x110000; code += code < 0x200 ? 1 : 0x101) {
    const character = String.fromCodePoint(code);
    const { message } = new SessionError("storage", character);
    expect(message).toEqual(/\p{Cc}/u.test(character) ? expect.stringMatching(/^\\(\w|u00\w\w)$/) : character);
  }
});

test("rule 25: an id with control characters is never raw in an error's text", async () => {
  const store = new InMemorySessionStore();
  const manager = new SessionManager(store, new PlainConversation());
  const errors = [
    await manager.rename(HOSTILE_ID, "label").catch((error: unknown) => error),
    await manager.fork(HOSTILE_ID).catch((error: unknown) => error),
    await store.append(HOSTILE_ID, [], { revision: "r" }).catch((error: unknown) => error),
    await new FileSessionStore("/nowhere").load(HOSTILE_ID).catch((error: unknown) => error),
  ];
  for (const error of errors) {
    expect(error).toBeInstanceOf(SessionError);
    expect((error as SessionError).message).not.toMatch(/\p{Cc}/u);
    expect((error as SessionError).message).toContain("a\\u001b[2J\\r\\nb\\u0000\\u009b");
  }
});
