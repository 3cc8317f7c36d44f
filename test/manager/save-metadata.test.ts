import { expect, test } from "vitest";
import { each_backend } from "../backends.js";
import { metadata_of, open_plain, open_recording, record_of } from "../support/open-session.js";

each_backend((backend) => {
  test("rule 12: the labels of start_new() and save() are the user's", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new("first");
    await manager.flush();
    expect(await metadata_of(store, id)).toMatchObject({ label: "first", label_source: "user" });
    conversation.turn("not this");
    await manager.save({ label: "second" });
    expect(await metadata_of(store, id)).toMatchObject({ label: "second", label_source: "user" });
  });

  test("rule 12: what save() says of a session is stored with it", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    const custom = { nested: { a: [1] } };
    const saved = manager.save({ provider: "p", model: "m", custom });
    custom.nested.a.push(2);
    await saved;
    expect(await metadata_of(store, id)).toMatchObject({ provider: "p", model: "m", custom: { nested: { a: [1] } } });
    await manager.save({ model: "n" });
    expect(await metadata_of(store, id)).toMatchObject({ provider: "p", model: "n" });
  });

  test("rule 25: what is not a label is refused, and nothing is written", async () => {
    const store = await open_recording(backend);
    const { manager } = open_plain(store);
    const refused = { name: "SessionError", code: "invalid_input" };
    expect(() => manager.start_new(7 as never)).toThrow(expect.objectContaining(refused));
    await expect(manager.save({ label: {} as never })).rejects.toMatchObject(refused);
    await expect(manager.rename("any", undefined as never)).rejects.toMatchObject(refused);
    expect([manager.is_loaded, store.calls]).toEqual([false, []]);
  });

  test.each([
    ["a number too big for JSON", { custom: { big: 1n } }],
    ["a function", { custom: { run: () => undefined } }],
    ["a parent that cannot be one", { parent_id: "no/parent" }],
  ])("rule 25: metadata that hold %s are refused or taken, and later saves go on", async (_what, bad) => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    const outcome = await manager.save(bad).then(
      () => "stored",
      (error: { code?: string }) => error.code ?? "no code",
    );
    expect(["stored", "invalid_input", "invalid_id"]).toContain(outcome);
    conversation.turn("two");
    await manager.flush();
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
    expect(errors).toEqual([]);
  });
});
