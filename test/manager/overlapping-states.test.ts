import type { SessionManager } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { each_backend, offers } from "../backends.js";
import { ask } from "../core/helpers.js";
import { history_of, others_than, said } from "../support/histories.js";
import {
  conflicts_of,
  EIO,
  hold_and_fail,
  histories_of,
  open_recording_with_drafts,
  repeated,
  WRITES_OF_MESSAGES,
} from "../support/faulty-store.js";
import { in_time, outcome_in_time } from "../support/in-time.js";
import { texts, turns } from "../support/messages.js";
import { metadata_of, open_backend, open_plain, open_recording, open_session } from "../support/open-session.js";

/** Operations that an application calls between two turns without waiting for them. */
const BETWEEN = {
  rename: (manager: SessionManager) => manager.rename(manager.current_session_id!, "renamed"),
  "rewind to an unknown message": (manager: SessionManager) => manager.rewind("unknown"),
  "load of a missing session": (manager: SessionManager) => manager.load("missing"),
  save: (manager: SessionManager) => manager.save(),
  flush: (manager: SessionManager) => manager.flush(),
  "detached fork": (manager: SessionManager) => manager.fork(manager.current_session_id!, { detached: true }),
} satisfies Record<string, (manager: SessionManager) => Promise<unknown>>;

type Between = keyof typeof BETWEEN;

const NAMES = Object.keys(BETWEEN) as Between[];
const PAIRS = NAMES.flatMap((first) => NAMES.map((second): [Between, Between] => [first, second]));

each_backend((backend) => {
  test("rule 1.2: a rewind that is refused between turns stores no message twice", async () => {
    const { store } = await open_backend(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    const called = [manager.rename(id, "first name"), manager.rewind("unknown")];
    conversation.turn("two");
    called.push(manager.rename(id, "second name"));
    conversation.turn("three");
    const outcomes = await Promise.allSettled(called);
    await manager.flush();
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
    expect(await metadata_of(store, id)).toMatchObject({ label: "second name", message_count: 6 });
    expect([await others_than(store, id), errors]).toEqual([[], []]);
  });

  test("rule 1.2: whatever is called between turns, in every order, the session holds the conversation once", async () => {
    const wrong: string[] = [];
    for (const pair of PAIRS) {
      const { store } = await open_backend(backend);
      const { manager, conversation } = open_plain(store);
      manager.start_new();
      const called: Promise<unknown>[] = [];
      for (const [at, name] of pair.entries()) {
        conversation.turn(`turn ${at}`);
        called.push(BETWEEN[name](manager));
      }
      conversation.turn("last");
      await Promise.allSettled(called);
      await manager.flush();
      const histories = await histories_of(store);
      const current = histories.get(manager.current_session_id ?? "");
      if (String(current) !== String(texts(conversation.messages)) || repeated(histories).length > 0) {
        wrong.push(`${pair.join(", ")}: ${JSON.stringify([...histories.values()])}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test.each([
    ["load()", (manager: SessionManager, id: string) => manager.load(id)],
    ["rewind()", (manager: SessionManager) => manager.rewind("1 a1")],
  ] as const)("rule 1: what save() is asked to store while %s reads the session is stored", async (_what, call) => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.messages.push(...turns(2, "1 "));
    await manager.save();
    const held = store.hold("load", { id });
    const called = call(manager, id);
    await held.reached;
    const saved = manager.save({ custom: { said: "meanwhile" } });
    held.release();
    await Promise.all([called, saved]);
    expect((await metadata_of(store, id)).custom).toEqual({ said: "meanwhile" });
  });

  test("rule 14: usage of turns between such calls is summed once for each turn", async () => {
    const { store } = await open_backend(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    const called: Promise<unknown>[] = [];
    for (const text of ["one", "two", "three"]) {
      conversation.turn(text, `re: ${text}`, { usage: { output_tokens: 1 } });
      called.push(manager.rewind("unknown"), manager.rename(id, text));
    }
    await Promise.allSettled(called);
    await manager.flush();
    expect((await metadata_of(store, id)).usage).toMatchObject({ requests: 3, output_tokens: 3 });
    expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
  });
});

each_backend((backend) => {
  describe("where the first write of a session fails when the answer is there", () => {
    test("rule 1.2: later turns store none of it twice", async () => {
      const store = await open_recording_with_drafts(backend);
      const { manager, conversation } = open_session(store);
      const held = hold_and_fail(store, WRITES_OF_MESSAGES);
      const id = manager.start_new();
      await held.reached;
      await ask(conversation, "one");
      held.release();
      await in_time(manager.flush(), "flush()");
      await ask(conversation, "two");
      await ask(conversation, "three");
      await in_time(manager.flush(), "flush()");
      expect(await history_of(store, id)).toEqual(texts(conversation.messages));
      expect((await metadata_of(store, id)).usage).toMatchObject({ requests: 3 });
      expect(await others_than(store, id)).toEqual([]);
    });

    test("rule 1.2: without a flush in between, later turns store none of it twice", async () => {
      const store = await open_recording_with_drafts(backend);
      const { manager, conversation } = open_session(store);
      const held = hold_and_fail(store, WRITES_OF_MESSAGES);
      const id = manager.start_new();
      await held.reached;
      await ask(conversation, "one");
      held.release();
      for (const text of ["two", "three"]) {
        await ask(conversation, text);
      }
      await in_time(manager.flush(), "flush()");
      expect(await history_of(store, id)).toEqual(texts(conversation.messages));
      expect(await others_than(store, id)).toEqual([]);
    });
  });

  test.each(["flush", "close"] as const)(
    "rules 1.3 and 27: where the first two writes fail and the third works, %s stores everything or says that it did not",
    async (ending) => {
      const store = await open_recording_with_drafts(backend);
      const { manager, conversation, errors } = open_session(store);
      const held = hold_and_fail(store, WRITES_OF_MESSAGES);
      store.fail(WRITES_OF_MESSAGES, { nth: 2 }, EIO);
      const id = manager.start_new();
      await held.reached;
      await ask(conversation, "one");
      held.release();
      let failure: unknown;
      try {
        await in_time(ending === "flush" ? manager.flush() : manager[Symbol.asyncDispose](), ending);
      } catch (error) {
        failure = error;
      }
      const history = (await store.load(id)) === undefined ? [] : await history_of(store, id);
      if (failure === undefined) {
        expect(history).toEqual(texts(conversation.messages));
        expect(manager.last_error).toBeUndefined();
      } else {
        expect(failure).toMatchObject({ code: "storage" });
        expect(manager.last_error).toMatchObject({ code: "storage" });
      }
      expect(errors.length).toBeGreaterThan(0);
    },
  );
}, offers("append"));

/** Outcomes of a write of messages. */
const OUTCOMES = ["works", "fails", "loses its answer"] as const;

const SCHEDULES = OUTCOMES.flatMap((a) => OUTCOMES.flatMap((b) => OUTCOMES.map((c) => [a, b, c] as const)));

each_backend((backend) => {
  test.each(SCHEDULES)(
    "rule 1.3: where the first write %s, the second %s and the third %s, each turn is stored once",
    async (...schedule) => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_plain(store);
      const conflicts = conflicts_of(manager);
      for (const [at, outcome] of schedule.entries()) {
        if (outcome === "fails") {
          store.fail(WRITES_OF_MESSAGES, { nth: at + 1 }, EIO);
        } else if (outcome === "loses its answer") {
          store.lose_answer(WRITES_OF_MESSAGES, { nth: at + 1 });
        }
      }
      const id = manager.start_new();
      for (const text of ["one", "two", "three"]) {
        conversation.turn(text, `re: ${text}`, { usage: { output_tokens: 1 } });
        await manager.list(); // waits for the save of the turn
      }
      for (let attempt = 1; attempt <= schedule.length; attempt += 1) {
        const is_done = (await outcome_in_time(manager.flush())) === "done";
        expect(manager.last_error === undefined).toBe(is_done);
      }
      expect(await history_of(store, id)).toEqual(said("one", "two", "three"));
      expect((await metadata_of(store, id)).usage).toMatchObject({ requests: 3, output_tokens: 3 });
      expect([await others_than(store, id), conflicts]).toEqual([[], []]);
    },
  );

  /** Calls that change a label. */
  const changes: [string, (manager: SessionManager, text: string, id: string) => Promise<unknown>][] = [
    ["save()", (manager, text) => manager.save({ label: text, custom: { text } })],
    ["rename()", (manager, text, id) => manager.rename(id, text)],
  ];

  describe.each(changes)("where %s fails", (_first, fail) => {
    test.each(changes)("rule 12: what it was to store does not replace what %s stored later", async (what, change) => {
      const store = await open_recording(backend);
      const { manager, conversation } = open_plain(store);
      const id = manager.start_new();
      conversation.turn("one");
      await manager.flush();
      store.fail(["save", "append", "replace", "update"], {}, EIO);
      expect(await outcome_in_time(fail(manager, "older", id))).toBe("storage");
      await change(manager, "newer", id);
      await outcome_in_time(manager.flush());
      conversation.turn("two");
      await manager.flush();
      expect(await metadata_of(store, id)).toMatchObject({
        label: "newer",
        label_source: "user",
        ...(what === "save()" && { custom: { text: "newer" } }),
      });
    });
  });

  test("rule 12: a label of start_new() that could not be stored does not replace one that is given later", async () => {
    const store = await open_recording(backend);
    const { manager, conversation } = open_plain(store);
    const held = hold_and_fail(store, WRITES_OF_MESSAGES);
    const id = manager.start_new("older");
    await held.reached;
    const renamed = manager.rename(id, "newer");
    conversation.turn("one");
    held.release();
    await renamed;
    await manager.flush();
    expect(await metadata_of(store, id)).toMatchObject({ label: "newer", label_source: "user" });
  });
});
