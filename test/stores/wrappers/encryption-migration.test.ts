import { randomBytes } from "node:crypto";
import { EncryptedSessionStore, InMemorySessionStore, type SessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { turns, user } from "../../support/messages.js";

const KEYS = { old: randomBytes(32), now: randomBytes(32) };
const DATES = { created_at: "2020-01-01T00:00:00.000Z", updated_at: "2021-01-01T00:00:00.000Z" };

/** As the README has it. */
async function encrypt_again(store: EncryptedSessionStore): Promise<void> {
  for (const { id } of await store.list()) {
    const session = await store.load(id);
    if (session) {
      await store.save(id, session.messages, session.metadata);
      if (session.draft) {
        await store.set_draft(id, session.draft);
      }
    }
  }
}

test.each<[string, (inner: SessionStore) => SessionStore]>([
  ["plain text", (inner) => inner],
  ["an old key", (inner) => new EncryptedSessionStore(inner, { keys: KEYS, current: "old" })],
])("rule 51: sessions of %s are written once more, and need nothing but the current key then", async (_, writer) => {
  const inner = new InMemorySessionStore();
  const before = writer(inner);
  const metadata = { ...DATES, label: "l", label_source: "user" as const, custom: { a: 1 }, unheard_of: "u" };
  await before.save("parent", turns(2), metadata);
  await before.save("fork", turns(1, "f"), { ...DATES, parent_id: "parent", fork_message_id: "a2", kind: "fork" });
  await before.set_draft?.("fork", { prompt: user("typed", "p"), updated_at: DATES.updated_at });
  const sessions = async (store: SessionStore) =>
    Promise.all(["parent", "fork"].map(async (id) => ({ ...(await store.load(id)), revision: undefined })));
  const expected = await sessions(before);
  await encrypt_again(new EncryptedSessionStore(inner, { keys: KEYS, current: "now", accept_plaintext: true }));
  const after = new EncryptedSessionStore(inner, { keys: { now: KEYS.now }, current: "now" });
  expect(await sessions(after)).toEqual(expected);
  expect((await after.list()).map(({ damaged }) => damaged)).toEqual([undefined, undefined]);
});
