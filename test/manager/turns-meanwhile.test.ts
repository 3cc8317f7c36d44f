import { deferred } from "@simulacra-ai/core";
import type { SessionManager } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { each_backend, type Backend } from "../backends.js";
import { ask, PROVIDERS, round } from "../core/helpers.js";
import { others_than } from "../support/histories.js";
import { conflicts_of } from "../support/faulty-store.js";
import { outcome_in_time } from "../support/in-time.js";
import { echo } from "../support/echo.js";
import { ids, texts, turns } from "../support/messages.js";
import {
  contents_of,
  open_plain,
  open_recording,
  open_session,
  record_of,
  type OpenOptions,
} from "../support/open-session.js";

const CALLS = ["list", "load", "save", "delete", "append", "replace", "update", "flush"] as const;

/** Opens a session with two turns. The sessions `a` and `b` are stored beside it. */
async function open_with_others(backend: Backend, options: OpenOptions = {}) {
  const store = await open_recording(backend);
  for (const id of ["a", "b"]) {
    await store.save(id, turns(2, id), { kind: "root", label: id });
  }
  const opened = open_session(store, { script: echo, ...options });
  const { manager, conversation } = opened;
  const id = manager.start_new("mine");
  await ask(conversation, "one");
  await ask(conversation, "two");
  await manager.flush();
  return { store, id, conflicts: conflicts_of(manager), first_reply: conversation.messages[1]!.id!, ...opened };
}

type Opened = Pick<Awaited<ReturnType<typeof open_with_others>>, "manager" | "id" | "first_reply">;

const OPERATIONS: [string, (opened: Opened) => Promise<unknown>][] = [
  ["load(current)", ({ manager, id }) => manager.load(id)],
  ["load(another)", ({ manager }) => manager.load("a")],
  ["load()", ({ manager }) => manager.load()],
  ["an attached fork of the current session", ({ manager, id }) => manager.fork(id)],
  ["an attached fork of another session", ({ manager }) => manager.fork("a", { message_id: "aa1" })],
  ["rewind", ({ manager, first_reply }) => manager.rewind(first_reply)],
  ["delete(current)", ({ manager, id }) => manager.delete(id)],
  ["delete(current) with its forks", ({ manager, id }) => manager.delete(id, { forks: "cascade" })],
];

each_backend((backend) => {
  describe.each(PROVIDERS)("with %s", (_name, provider_class) => {
    test.each(OPERATIONS)(
      "rule 3.3: %s is refused where a whole turn completes while it waits",
      async (_what, call) => {
        const opened = await open_with_others(backend, { provider_class });
        const { store, manager, conversation, id, conflicts, errors } = opened;
        const held = store.hold(CALLS);
        const outcome = outcome_in_time(call(opened));
        await held.reached;
        await ask(conversation, "meanwhile");
        const shown = conversation.messages;
        held.release();
        expect(await outcome).toBe("invalid_state");
        expect([manager.current_session_id, ids(conversation.messages)]).toEqual([id, ids(shown)]);
        await manager.flush();
        expect((await record_of(store, id)).messages).toEqual(shown);
        expect((await others_than(store, id)).sort()).toEqual(["a", "b"]);
        await ask(conversation, "afterwards");
        await manager.flush();
        expect(texts((await record_of(store, id)).messages)).toEqual(
          ["one", "two", "meanwhile", "afterwards"].flatMap((text) => [text, `re: ${text}`]),
        );
        expect((await others_than(store, id)).sort()).toEqual(["a", "b"]);
        expect([conflicts, errors]).toEqual([[], []]);
      },
    );
  });

  test.each(OPERATIONS)("rule 3.3: %s is refused where a turn fails while it waits", async (_what, call) => {
    const opened = await open_with_others(backend);
    const { store, provider, manager, conversation, id, conflicts } = opened;
    const before = await contents_of(store);
    const shown = conversation.messages;
    const held = store.hold(CALLS);
    const outcome = outcome_in_time(call(opened));
    await held.reached;
    provider.enqueue({ fail_request: new Error("no network") });
    await conversation.prompt("meanwhile");
    expect(conversation.state).toBe("idle");
    held.release();
    expect(await outcome).toBe("invalid_state");
    expect([manager.current_session_id, conversation.messages]).toEqual([id, shown]);
    await manager.flush();
    expect(await contents_of(store)).toEqual(before);
    expect(conflicts).toEqual([]);
  });

  test.each(OPERATIONS)(
    "rule 3.3: a turn that completes before any call that %s makes of the store is lost nowhere",
    async (_what, call) => {
      const wrong: string[] = [];
      for (let nth = 1, is_over = false; !is_over; nth += 1) {
        const opened = await open_with_others(backend);
        const { store, manager, conversation, id, conflicts } = opened;
        const held = store.hold(CALLS, { nth });
        let outcome: string | undefined;
        const ended = outcome_in_time(call(opened)).then((code) => (outcome = code));
        await Promise.race([held.reached, ended]);
        is_over = outcome !== undefined;
        if (!is_over) {
          await ask(conversation, "meanwhile");
          const shown = ids(conversation.messages);
          held.release();
          await ended;
          await manager.flush();
          const now = manager.current_session_id;
          const again = open_plain(store, { auto_save: false });
          await (now !== undefined && again.manager.load(now));
          const stored = texts(again.conversation.messages) ?? [];
          const places = now === undefined ? texts(conversation.messages)! : stored;
          if (places.filter((text) => text === "meanwhile").length !== 1) {
            wrong.push(`before call ${nth} (${outcome}): ${String(places)}`);
          }
          const has_changed = now !== id || String(ids(conversation.messages)) !== String(shown);
          if (outcome !== "done" && (outcome !== "invalid_state" || has_changed)) {
            wrong.push(`before call ${nth}: ${outcome}, and ${has_changed ? "something" : "nothing"} changed`);
          }
          const others = await others_than(store, id);
          if (outcome === "invalid_state" && others.length !== 2) {
            wrong.push(`before call ${nth}: refused, and there are sessions beside it: ${others.length}`);
          }
          wrong.push(...conflicts.map(() => `before call ${nth}: a conflict`));
        }
        expect(nth).toBeLessThan(40);
      }
      expect(wrong).toEqual([]);
    },
  );

  test.each(OPERATIONS)("rule 3.4: start_new() while %s waits refuses that one alone", async (_what, call) => {
    const opened = await open_with_others(backend);
    const { store, manager, conversation, id, conflicts, errors } = opened;
    const before = (await record_of(store, id)).messages;
    const held = store.hold(CALLS);
    const outcome = outcome_in_time(call(opened));
    await held.reached;
    const begun = manager.start_new();
    const behind = outcome_in_time(manager.rename(begun, "begun"));
    held.release();
    expect([await outcome, await behind]).toEqual(["invalid_state", "done"]);
    expect([manager.current_session_id, conversation.messages]).toEqual([begun, []]);
    await ask(conversation, "in the new one");
    await manager.flush();
    expect(manager.current_session_id).toBe(begun);
    expect((await record_of(store, begun)).messages).toEqual(conversation.messages);
    expect((await record_of(store, id)).messages).toEqual(before);
    expect((await others_than(store, id, begun)).sort()).toEqual(["a", "b"]);
    expect([conflicts, errors]).toEqual([[], []]);
  });

  test("rule 3.4: a load that is called behind start_new() is not refused with the one before it", async () => {
    const { store, manager, conversation } = await open_with_others(backend);
    const held = store.hold("load");
    const first = outcome_in_time(manager.load("a"));
    await held.reached;
    manager.start_new();
    const second = outcome_in_time(manager.load("b"));
    held.release();
    expect([await first, await second]).toEqual(["invalid_state", "done"]);
    expect(manager.current_session_id).toBe("b");
    expect(conversation.messages).toEqual(turns(2, "b"));
  });

  test("rule 3.4: start_new() while a detached fork waits stays the current session", async () => {
    const { store, manager, id } = await open_with_others(backend);
    const held = store.hold(CALLS);
    const outcome = outcome_in_time(manager.fork("a", { detached: true }));
    await held.reached;
    const begun = manager.start_new();
    held.release();
    expect(await outcome).toBe("invalid_state");
    await manager.flush();
    expect(manager.current_session_id).toBe(begun);
    expect((await others_than(store, id, begun)).sort()).toEqual(["a", "b"]);
  });

  test("rule 3.3: a turn of a conversation that has no state refuses what waits", async () => {
    const store = await open_recording(backend);
    await store.save("a", turns(2, "a"), { kind: "root" });
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    for (const call of [() => manager.load("a"), () => manager.load(id), () => manager.delete(id)]) {
      const held = store.hold(CALLS);
      const outcome = outcome_in_time(call());
      await held.reached;
      conversation.turn("meanwhile");
      held.release();
      expect(await outcome).toBe("invalid_state");
    }
    await manager.flush();
    expect(manager.current_session_id).toBe(id);
    expect(conversation.messages).toHaveLength(8);
    expect((await record_of(store, id)).messages).toEqual(conversation.messages);
  });

  test("rule 3.3: a turn of a child refuses nothing of its parent", async () => {
    const { store, manager, conversation } = await open_with_others(backend);
    const child = conversation.spawn_child();
    await manager.flush();
    const held = store.hold("load", { id: "a" });
    const outcome = outcome_in_time(manager.load("a"));
    await held.reached;
    await ask(child, "of the child");
    held.release();
    expect(await outcome).toBe("done");
    expect([manager.current_session_id, conversation.messages]).toEqual(["a", turns(2, "a")]);
  });

  test("rule 3.3: a turn that completes while an operation waits behind a slow save refuses it, too", async () => {
    const { store, manager, conversation, id } = await open_with_others(backend);
    const held = store.hold_save();
    await ask(conversation, "slowly saved");
    await held.reached;
    const outcomes = [manager.load("a"), manager.fork("a"), manager.load(id), manager.delete(id)].map((promise) =>
      outcome_in_time(promise),
    );
    await ask(conversation, "meanwhile");
    const shown = conversation.messages;
    held.release();
    expect(await Promise.all(outcomes)).toEqual(Array(4).fill("invalid_state"));
    await manager.flush();
    expect(manager.current_session_id).toBe(id);
    expect(ids(conversation.messages)).toEqual(ids(shown));
    expect((await record_of(store, id)).messages).toEqual(shown);
    expect((await others_than(store, id)).sort()).toEqual(["a", "b"]);
  });

  test.each(["completes", "fails"])(
    "rule 3: a cascade over the current session is refused where the turn in which it was called %s",
    async (how) => {
      const gate = deferred();
      const store = await open_recording(backend);
      await store.save("a", turns(2, "a"), { kind: "root" });
      const fail = how === "fails" && { fail_stream: new Error("no network") };
      const { manager, conversation } = open_session(store, {
        script: [{ text: "slow", gate: gate.promise, ...fail }],
      });
      await manager.load("a");
      const id = await manager.fork("a");
      const reply = ask(conversation, "one").catch(() => undefined);
      await new Promise<void>((resolve) => conversation.once("message_start", () => resolve()));
      const held = store.hold("list");
      const outcome = outcome_in_time(manager.delete("a", { forks: "cascade" }));
      await held.reached;
      gate.resolve();
      await reply;
      await round();
      expect(conversation.state).toBe("idle");
      held.release();
      expect(await outcome).toBe("invalid_state");
      await manager.flush();
      expect(manager.current_session_id).toBe(id);
      expect(conversation.messages).toHaveLength(fail ? 4 : 6);
      expect((await record_of(store, id)).messages).toEqual(conversation.messages.slice(4));
      expect(await others_than(store, id)).toEqual(["a"]);
    },
  );
});

/** Operations that are called first and not awaited. */
const FIRST: [string, (manager: SessionManager) => Promise<unknown>][] = [
  ["load(a)", (manager) => manager.load("a")],
  ["fork(a)", (manager) => manager.fork("a")],
  ["delete(current)", (manager) => manager.delete(manager.current_session_id!)],
  ["rename(a)", (manager) => manager.rename("a", "renamed")],
];

/** Operations that are called second, and the ids of the messages that the conversation holds in the end. */
const SECOND: [string, (manager: SessionManager) => Promise<unknown>, shown: string[]][] = [
  ["load(b)", (manager) => manager.load("b").then(() => "b"), ["bu1", "ba1", "bu2", "ba2"]],
  ["fork(b)", (manager) => manager.fork("b", { message_id: "ba1" }), ["bu1", "ba1"]],
];

each_backend((backend) => {
  describe.each(FIRST)("%s and, not awaited,", (_first, first) => {
    test.each(SECOND)("rule 1.1: %s both succeed, and the second one counts", async (_second, second, shown) => {
      const { manager, conversation, conflicts, errors } = await open_with_others(backend);
      const [first_outcome, current] = [outcome_in_time(first(manager)), second(manager)];
      expect([await first_outcome, await outcome_in_time(current)]).toEqual(["done", "done"]);
      await round();
      expect(manager.current_session_id).toBe(await current);
      expect(ids(conversation.messages)).toEqual(shown);
      expect([conflicts, errors]).toEqual([[], []]);
    });
  });

  test("rule 1.1: load(a) and, not awaited, a rewind rewinds a", async () => {
    const { manager, store, conversation, id } = await open_with_others(backend);
    const outcomes = [outcome_in_time(manager.load("a")), outcome_in_time(manager.rewind("aa1"))];
    expect(await Promise.all(outcomes)).toEqual(["done", "done"]);
    expect([manager.current_session_id, ids(conversation.messages)]).toEqual(["a", ["au1", "aa1"]]);
    expect((await record_of(store, id)).messages).toHaveLength(4);
  });

  test("rule 1.1: load(a) and, not awaited, delete(a) leave no session and an empty conversation", async () => {
    const { manager, store, conversation, id } = await open_with_others(backend);
    const outcomes = [outcome_in_time(manager.load("a")), outcome_in_time(manager.delete("a"))];
    expect(await Promise.all(outcomes)).toEqual(["done", "done"]);
    expect([manager.current_session_id, conversation.messages]).toEqual([undefined, []]);
    expect((await others_than(store, id)).sort()).toEqual(["b"]);
  });
});
