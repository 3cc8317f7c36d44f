import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { loaded, loose, message, STORES, temporary_directory } from "./helpers.js";

/** Texts that parsers, line formats and encodings stumble over. */
const TEXTS = [
  "\ud800",
  "\udc00\ud800",
  "half of a pair \ud83d and behind it",
  "\u0000 and \u001f and \u007f",
  "\u2028\u2029",
  "\r\n\n\r",
  '\n#0123456789abcdef 10 {"n":1}\n',
  ',\n"store": {},\n"messages": [\n',
  "\n]\n}\n",
  '"},\n{"',
  "\ufeff",
  "\ufffe\uffff",
  "e\u0301\u{1f468}\u200d\u{1f469}",
  "</script>\\u0000\\",
  "",
];

describe.each(STORES)("$name", ({ open }) => {
  test("rule 25: every text comes back as it was, from save, append, replace and update", async () => {
    const store = open();
    const messages = TEXTS.map((text) => message(text, { [`key ${text}`]: text }));
    const metadata = { label: TEXTS.join(""), custom: Object.fromEntries(TEXTS.map((text, n) => [text, n])) };
    const check = async (count: number) => {
      const session = await loaded(store);
      expect(JSON.stringify(session.messages)).toBe(JSON.stringify(Array(count).fill(messages).flat()));
      expect(session.metadata).toMatchObject(metadata);
      expect(await store.list()).toEqual([session.metadata]);
      return { revision: session.revision };
    };
    await store.save("s", messages, loose(metadata));
    await store.append("s", messages, await check(1));
    await store.update("s", loose(metadata));
    for (const one of messages) {
      await store.append("s", [one], { revision: (await loaded(store)).revision });
    }
    await check(3);
    await store.flush?.();
    await store.replace("s", messages, { ...(await check(3)), metadata: loose(metadata) });
    await check(1);
  });

  test("rule 25: messages of 5 MB come back, from a snapshot and from an append", async () => {
    const store = open();
    const texts = ["€".repeat(1_700_000), "x".repeat(5_000_000), '\n#\\"'.repeat(1_000_000)];
    await store.save("s", [message(texts[0] ?? "")]);
    for (const text of texts.slice(1)) {
      await store.append("s", [message(text)], { revision: (await loaded(store)).revision });
    }
    const check = async () => {
      const { messages } = await loaded(store);
      expect(messages.length).toBe(3);
      messages.forEach(({ content: [part] }, n) => expect(part?.type === "text" && part.text === texts[n]).toBe(true));
    };
    await check();
    expect((await store.list())[0]?.message_count).toBe(3);
    await store.flush?.();
    await check();
  });
});

test("rule 34: every text reads the same in another instance, from the journal and after a flush", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root, { durable: false });
  const messages = TEXTS.map((text) => message(text, { extended: { [text]: text } }));
  await store.save("s", [], { label: TEXTS.join("") });
  await store.append("s", messages, { revision: (await loaded(store)).revision });
  const expected = JSON.stringify(await loaded(store));
  expect(JSON.stringify(await loaded(new FileSessionStore(root)))).toBe(expected);
  await store.flush();
  expect(JSON.stringify(await loaded(new FileSessionStore(root)))).toBe(expected);
});
