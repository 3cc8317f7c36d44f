import type { Message } from "@simulacra-ai/core";
import { InMemorySessionStore, type SessionMetadata, type StoredSession } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { texts, turns } from "../support/messages.js";
import { open_plain, record_of } from "../support/open-session.js";
import { RecordingStore } from "../support/recording-store.js";

/** Hides texts, as a subclass that encrypts would; written when the four methods were all there was. */
class HidingStore extends InMemorySessionStore {
  override async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    return super.save(id, JSON.parse(reverse(messages)) as Message[], metadata);
  }

  override async load(id: string): Promise<StoredSession | undefined> {
    const session = await super.load(id);
    return session && { ...session, messages: JSON.parse(reverse(session.messages)) as Message[] };
  }

  stored(id: string): Promise<StoredSession | undefined> {
    return super.load(id);
  }
}

function reverse(messages: Message[]): string {
  return JSON.stringify(messages, (key, value: unknown) =>
    key === "text" ? [...String(value)].reverse().join("") : value,
  );
}

test("rule 24: an inherited append or replace does not bypass a subclass that overrides save and load", async () => {
  const store = new HidingStore();
  const { manager, conversation } = open_plain(store);
  const id = manager.start_new();
  conversation.turn("secret");
  await manager.flush();
  conversation.turn("another");
  await manager.save();
  expect(texts((await store.stored(id))?.messages)).toEqual(["terces", "terces :er", "rehtona", "rehtona :er"]);
  const other = open_plain(store);
  await other.manager.load(id);
  expect(other.conversation.messages).toEqual(conversation.messages);
});

test("rule 2.4: a store with replace and without append takes everything, over the revision it read", async () => {
  const store = new RecordingStore(new InMemorySessionStore(), ["append", "update"]);
  await store.save("kept", turns(1));
  const { manager, conversation } = open_plain(store);
  await manager.load("kept");
  store.forget_calls();
  conversation.turn("two");
  await manager.flush();
  expect(store.writes().map(({ method, messages }) => [method, messages?.length])).toEqual([["replace", 4]]);
  expect((await record_of(store, "kept")).messages).toEqual(conversation.messages);
});

test("rule 2.4: a store with append and without replace is begun with save", async () => {
  const store = new RecordingStore(new InMemorySessionStore(), ["replace"]);
  const { manager, conversation } = open_plain(store);
  const id = manager.start_new();
  await manager.flush();
  conversation.turn("one");
  await manager.flush();
  conversation.turn("two");
  await manager.flush();
  expect(store.writes().map(({ method, messages }) => [method, messages?.length])).toEqual([
    ["save", 0],
    ["append", 2],
    ["append", 2],
  ]);
  expect((await record_of(store, id)).messages).toEqual(conversation.messages);
});
