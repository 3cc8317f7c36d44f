import { readdir } from "node:fs/promises";
import { deferred } from "@simulacra-ai/core";
import { InMemorySessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { each_backend, keeps_files } from "../backends.js";
import { ask, PROVIDERS, round } from "../core/helpers.js";
import { turns } from "../support/messages.js";
import {
  contents_of,
  open_backend,
  open_plain,
  open_recording,
  open_session,
  record_of,
} from "../support/open-session.js";
import { RecordingStore } from "../support/recording-store.js";

each_backend((backend) => {
  test.each(PROVIDERS)(
    "rule 15.2: flush() resolves when everything asked for is stored, children included, with %s",
    async (_name, provider_class) => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_session(store, { provider_class });
      const first = manager.start_new();
      await ask(conversation, "one");
      const child = conversation.spawn_child(true);
      const grandchild = child.spawn_child(true);
      await Promise.all([ask(child, "child"), ask(grandchild, "grandchild")]);
      const second = manager.start_new();
      await ask(conversation, "two");
      await manager.flush();
      const stored = await contents_of(store);
      expect([...stored.values()].map(({ messages }) => messages.length).sort()).toEqual([2, 2, 4, 4]);
      expect([stored.get(first)?.messages.length, stored.get(second)?.messages.length]).toEqual([2, 2]);
    },
  );

  test("rule 15.3: flush() tries again what failed, in the newest state", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors, saves } = open_plain(store);
    const id = manager.start_new("mine");
    await manager.flush();
    store.fail_saves();
    conversation.turn("one");
    await round();
    await manager.flush();
    expect(errors).toHaveLength(1);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    expect(saves.map(({ messages }) => messages.length)).toEqual([0, 2]);
  });

  test("rule 15.3: flush() rejects where it still fails, and tries again the next time", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    store.fail_saves({ times: Infinity });
    conversation.turn("one");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    expect(errors).toHaveLength(1);
    store.heal();
    await manager.flush();
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 15.3: what failed in a session left behind is tried again, too", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const first = manager.start_new();
    await manager.flush();
    store.fail_saves({ id: first, times: 2 });
    conversation.turn("one");
    const second = manager.start_new();
    conversation.turn("two");
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    expect((await record_of(store, second)).metadata.message_count).toBe(2);
    await manager.flush();
    expect((await record_of(store, first)).metadata.message_count).toBe(2);
  });

  test("rule 15.3: an explicit save that failed is tried again by flush()", async () => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    conversation.messages.push(...turns(1));
    store.fail_saves();
    await expect(manager.save({ label: "mine" })).rejects.toThrow("disk on fire");
    await manager.flush();
    const { metadata, messages } = await record_of(store, id);
    expect([metadata.label, messages, errors]).toEqual(["mine", turns(1), []]);
  });

  test("rule 15.3: a session deleted after its save failed stays deleted", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    store.fail_saves();
    conversation.turn("one");
    await manager.delete(id);
    await manager.flush();
    expect(await store.load(id)).toBeUndefined();
  });

  test("rule 15.2: flush() with nothing to do does nothing", async () => {
    const store = await open_recording(backend);
    const { manager } = open_plain(store);
    await manager.flush();
    await manager.flush();
    expect(store.calls).toEqual([]);
  });
});

each_backend((backend) => {
  test("rule 15.2: after flush() every session that was written is at rest, and after await using", async () => {
    const { store, directory = "" } = await open_backend(backend);
    const { manager, conversation } = open_plain(store);
    await store.save("renamed", turns(1));
    const revision = (await record_of(store, "renamed")).revision ?? "";
    await store.append!("renamed", turns(1, "x"), { revision });
    const first = manager.start_new();
    await manager.flush();
    conversation.turn("one");
    conversation.spawn().turn("child");
    const second = manager.start_new();
    await manager.rename("renamed", "new name");
    conversation.turn("two");
    await manager.list();
    expect((await readdir(directory)).filter((name) => name.endsWith(".journal")).length).toBeGreaterThan(2);
    await manager.flush();
    const at_rest = await readdir(directory);
    expect(at_rest.filter((name) => !/^[^.]+(\.json|-forks)$/.test(name))).toEqual([]);
    expect(at_rest).toEqual(expect.arrayContaining([`${first}.json`, `${second}.json`, "renamed.json"]));
    conversation.turn("three");
    await manager[Symbol.asyncDispose]();
    expect((await readdir(directory)).sort()).toEqual(at_rest.sort());
    expect((await record_of(store, second)).messages).toEqual(conversation.messages);
  });
}, keeps_files);

/** A memory store that can be flushed. */
class FlushableStore extends InMemorySessionStore {
  async flush(_id?: string): Promise<void> {}
}

const open_flushable = () => new RecordingStore(new FlushableStore());

test("rule 15.2: flush() flushes every session written since the last time, once", async () => {
  const store = open_flushable();
  const { manager, conversation } = open_plain(store);
  const first = manager.start_new();
  conversation.turn("one");
  const second = manager.start_new();
  conversation.turn("two");
  const child = conversation.spawn();
  await manager.flush();
  const flushed = store.of("flush").map(({ id }) => id);
  expect(new Set(flushed).size).toBe(flushed.length);
  expect(flushed.sort()).toEqual([...(await contents_of(store)).keys()].sort());
  expect(flushed).toEqual(expect.arrayContaining([first, second]));
  store.forget_calls();
  child.turn("more");
  await manager.flush();
  expect(store.of("flush").map(({ id }) => id)).toEqual(store.of("append").map(({ id }) => id));
  expect(store.of("flush")).toHaveLength(1);
});

test("rule 15.2: a flush joins the one under way, so await using returns behind it", async () => {
  const store = open_flushable();
  const { manager, conversation } = open_plain(store);
  const first = manager.start_new();
  conversation.turn("one");
  const second = manager.start_new();
  conversation.turn("two");
  const held = store.hold("flush");
  const order: string[] = [];
  const flushing = manager.flush().then(() => order.push("flush"));
  await held.reached;
  const disposing = manager[Symbol.asyncDispose]().then(() => order.push("dispose"));
  const again = manager.flush().then(() => order.push("again"));
  for (let n = 0; n < 5; n += 1) {
    await round();
  }
  expect(order).toEqual([]);
  held.release();
  await Promise.all([flushing, disposing, again]);
  expect(order[0]).toBe("flush");
  expect(order.slice(1).sort()).toEqual(["again", "dispose"]);
  expect(store.of("flush").map(({ id }) => id)).toEqual([first, second]);
});

test("rule 15.3: a flush under way that fails does not fail the one that joins it, which tries again", async () => {
  const store = open_flushable();
  const { manager, conversation } = open_plain(store);
  const id = manager.start_new();
  conversation.turn("one");
  store.fail("flush");
  const [first, second] = await Promise.allSettled([manager.flush(), manager.flush()]);
  expect([first.status, second.status]).toEqual(["rejected", "fulfilled"]);
  expect(store.of("flush").map((call) => call.id)).toEqual([id, id]);
});

test("rule 15.3: one session that cannot be flushed does not keep the others from it", async () => {
  const store = open_flushable();
  const { manager, conversation } = open_plain(store);
  const first = manager.start_new();
  conversation.turn("one");
  const second = manager.start_new();
  conversation.turn("two");
  store.fail("flush", { id: first });
  await expect(manager.flush()).rejects.toThrow("disk on fire");
  expect(store.of("flush", second)).toHaveLength(1);
  await manager.flush();
  expect(store.of("flush", first)).toHaveLength(2);
  expect(store.of("flush", second)).toHaveLength(1);
});

test("rule 15.2: flush() does not wait for a turn in flight", async () => {
  const store = open_flushable();
  const gate = deferred();
  const { manager, conversation } = open_session(store, { script: [{ gate: gate.promise }] });
  const id = manager.start_new();
  await conversation.prompt("hi");
  await manager.flush();
  expect((await record_of(store, id)).messages).toEqual([]);
  gate.resolve();
  await manager[Symbol.asyncDispose]();
  expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  expect(conversation.messages).toHaveLength(2);
});
