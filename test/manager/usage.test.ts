import { expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { ask, PROVIDERS } from "../core/helpers.js";
import { turns } from "../support/messages.js";
import { metadata_of, open_plain, open_recording, open_session } from "../support/open-session.js";

each_backend((backend) => {
  test.each(PROVIDERS)("rule 14: usage of every turn is summed, with %s", async (_name, provider_class) => {
    const store = await open_recording(backend);
    const script = [
      { usage: { input_tokens: 3, output_tokens: 5 } },
      { usage: { input_tokens: 4, output_tokens: null, cache_read_input_tokens: 2 } },
      { usage: {} },
      { fail_stream: new Error("cut off"), usage: { input_tokens: 100 } },
      { usage: { output_tokens: 1 } },
    ];
    const { manager, conversation } = open_session(store, { provider_class, script });
    const id = manager.start_new();
    for (const { fail_stream } of script) {
      const reply = ask(conversation);
      await (fail_stream ? expect(reply).rejects.toThrow("cut off") : reply);
    }
    await manager.flush();
    expect((await metadata_of(store, id)).usage).toEqual({
      input_tokens: 7,
      output_tokens: 6,
      cache_read_input_tokens: 2,
      requests: 4,
    });
  });

  test("rule 14: a turn that tells no usage counts nothing", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("no payload");
    conversation.turn("no usage", "still none", {});
    await manager.flush();
    expect(await metadata_of(store, id)).not.toHaveProperty("usage");
  });

  test("rule 14: a resumed session goes on counting", async () => {
    const store = await open_recording(backend);
    await store.save("kept", turns(1), { usage: { input_tokens: 10, requests: 2 } });
    const { manager, conversation } = open_plain(store);
    await manager.load("kept");
    conversation.turn("on", "ok", { usage: { input_tokens: 1, output_tokens: 2 } });
    await manager.flush();
    expect((await metadata_of(store, "kept")).usage).toEqual({ input_tokens: 11, output_tokens: 2, requests: 3 });
  });

  test("rule 14: a turn whose save failed is counted once", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    await manager.flush();
    store.fail_saves({ times: 2 });
    conversation.turn("one", "ok", { usage: { input_tokens: 1 } });
    await expect(manager.flush()).rejects.toThrow("disk on fire");
    conversation.turn("two", "ok", { usage: { input_tokens: 1 } });
    await manager.flush();
    expect((await metadata_of(store, id)).usage).toEqual({ input_tokens: 2, requests: 2 });
  });

  test("rule 14: children and forks count their own turns", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one", "ok", { usage: { input_tokens: 1 } });
    conversation.spawn().turn("child", "ok", { usage: { input_tokens: 10 } });
    await manager.flush();
    const child = (await store.list()).find(({ parent_id }) => parent_id === id);
    expect(child?.usage).toEqual({ input_tokens: 10, requests: 1 });
    const fork = await manager.fork(id);
    expect(await metadata_of(store, fork)).not.toHaveProperty("usage");
    conversation.turn("two", "ok", { usage: { input_tokens: 100 } });
    await manager.flush();
    expect((await metadata_of(store, fork)).usage).toEqual({ input_tokens: 100, requests: 1 });
    expect((await metadata_of(store, id)).usage).toEqual({ input_tokens: 1, requests: 1 });
  });

  test("rule 14: without auto_save usage waits for save()", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store, { auto_save: false });
    const id = manager.start_new();
    conversation.turn("one", "ok", { usage: { input_tokens: 1 } });
    conversation.turn("two", "ok", { usage: { input_tokens: 1 } });
    await manager.save();
    expect((await metadata_of(store, id)).usage).toEqual({ input_tokens: 2, requests: 2 });
  });
});
