import process from "node:process";
import { InMemorySessionStore, SessionManager } from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { each_backend } from "../backends.js";
import { round } from "../core/helpers.js";
import { turns } from "../support/messages.js";
import { metadata_of, open_backend, open_plain, open_recording } from "../support/open-session.js";
import { PlainConversation } from "../support/plain-conversation.js";
import { RecordingStore } from "../support/recording-store.js";

// eslint-disable-next-line no-control-regex -- the test is about these characters
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

const CLEARS_SCREEN = "a\u001b[2Jb";

const IDS: [string, string][] = [
  ["clears the screen", CLEARS_SCREEN],
  ["clears the screen in one character less", "a\u009b2Jb"],
  ["sets the title of the terminal", "a\u001b]0;title\u0007b"],
  ["has a line break", "a\nb"],
  ["has a zero", "a\u0000b"],
  ["has a delete", "a\u007fb"],
];

const LABELS: [string, text: string, label: string][] = [
  ["an escape sequence", "\u001b[31mPlan the trip\u001b[0m", "[31mPlan the trip[0m"],
  ["a bell", "Plan\u0007 the trip", "Plan the trip"],
  ["a zero", "Plan\u0000 the trip\u0000", "Plan the trip"],
  ["a character of the upper range", "Plan\u009b the trip", "Plan the trip"],
  ["a delete", "Plan the trip\u007f", "Plan the trip"],
  ["such characters before the text", "\u0000\u0001 Plan the trip", "Plan the trip"],
  ["more of them than a label is long", `${"\u0000".repeat(100)}Plan the trip`, "Plan the trip"],
];

each_backend((backend) => {
  test.each(LABELS)("rule 13: the automatic label of a text with %s is without it", async (_what, text, label) => {
    const { store } = await open_backend(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn(text);
    await manager.flush();
    expect(await metadata_of(store, id)).toMatchObject({ label, label_source: "auto" });
    expect(conversation.messages[0]?.content[0]).toMatchObject({ text });
  });

  test.each([
    ["without white space", "x".repeat(4 * 2 ** 20), "x".repeat(60)],
    ["of words", "word ".repeat(2 ** 20), Array<string>(12).fill("word").join(" ")],
    ["behind as much white space", `${" ".repeat(4 * 2 ** 20)}Plan the trip`, "Plan the trip"],
    ["before other lines", `Plan the trip\n${"x".repeat(4 * 2 ** 20)}`, "Plan the trip"],
    ["of one letter and its accents", `e${"\u0301".repeat(4 * 2 ** 20)}`, `e${"\u0301".repeat(59)}`],
  ])("rule 13: a text of 4 MB %s has the right label", async (_what, text, label) => {
    const { store } = await open_backend(backend);
    const { manager, conversation } = open_plain(store);
    const id = manager.start_new();
    conversation.turn(text);
    await manager.flush();
    expect((await metadata_of(store, id)).label).toBe(label);
  });

  test("rule 13: a label that the user gives is stored as it is", async () => {
    const { store } = await open_backend(backend);
    const { manager } = open_plain(store);
    const id = manager.start_new("\u001b[1mmine\u001b[0m");
    await manager.flush();
    expect((await metadata_of(store, id)).label).toBe("\u001b[1mmine\u001b[0m");
  });

  test("rule 13: the label of a fork and of a kept history has no control characters of an older label", async () => {
    const { store } = await open_backend(backend);
    await store.save("s", turns(2), { kind: "root", label: "Plan\u001b[31m it", label_source: "auto" });
    const { manager } = open_plain(store);
    const fork = await manager.fork("s");
    await manager.flush();
    expect((await metadata_of(store, fork)).label).not.toMatch(CONTROL);
  });

  test.each(IDS)("rule 25: no error message holds the control characters of an id that %s", async (_what, bad) => {
    const store = await open_recording(backend);
    const { manager, conversation, errors } = open_plain(store);
    const id = manager.start_new();
    conversation.turn("one");
    await manager.flush();
    const calls: [string, () => Promise<unknown>][] = [
      ["load", () => manager.load(bad)],
      ["fork", () => manager.fork(bad)],
      ["a detached fork", () => manager.fork(bad, { detached: true })],
      ["fork at a message", () => manager.fork(id, { message_id: bad })],
      ["rewind", () => manager.rewind(bad)],
      ["rename", () => manager.rename(bad, "x")],
      ["delete", () => manager.delete(bad)],
      ["save", () => manager.save({ parent_id: bad })],
    ];
    const said: [string, string][] = [];
    for (const [name, call] of calls) {
      try {
        await call();
      } catch (error) {
        said.push([name, (error as Error).message]);
      }
    }
    said.push(...errors.map(({ operation, error }): [string, string] => [operation, (error as Error).message]));
    expect(said.length).toBeGreaterThan(4);
    expect(said.filter(([, message]) => CONTROL.test(message))).toEqual([]);
  });
});

describe("an id with control characters that a store holds", () => {
  test("rule 9.2: is told raw as data, and never in the message of a conflict", async () => {
    const store = new InMemorySessionStore();
    await store.save(CLEARS_SCREEN, turns(1), { kind: "root" });
    const [ours, theirs] = [open_plain(store, { on_conflict: "error" }), open_plain(store)];
    await ours.manager.load(CLEARS_SCREEN);
    await theirs.manager.load(CLEARS_SCREEN);
    theirs.conversation.turn("theirs");
    await theirs.manager.flush();
    ours.conversation.turn("ours");
    await expect(ours.manager.flush()).rejects.toMatchObject({ code: "conflict", session_id: CLEARS_SCREEN });
    expect(ours.errors.length).toBeGreaterThan(0);
    for (const { error, context } of ours.errors) {
      expect(context).toMatchObject({ session_id: CLEARS_SCREEN });
      expect((error as Error).message).not.toMatch(CONTROL);
    }
  });

  test("rules 8.4 and 8.6: is not in what is said of missing or circular parents", async () => {
    const store = new InMemorySessionStore();
    await store.save("fork", turns(1), { parent_id: CLEARS_SCREEN, fork_message_id: CLEARS_SCREEN });
    await store.save("s", turns(1), { kind: "root" });
    await store.save(`${CLEARS_SCREEN}1`, turns(1), { parent_id: `${CLEARS_SCREEN}2` });
    await store.save(`${CLEARS_SCREEN}2`, turns(1), { parent_id: `${CLEARS_SCREEN}1` });
    const { manager, errors } = open_plain(store);
    await manager.load("fork");
    await expect(manager.load(`${CLEARS_SCREEN}1`)).rejects.toMatchObject({
      code: "lineage",
      message: expect.not.stringMatching(CONTROL) as string,
    });
    await store.save("fork", turns(1), { parent_id: "s", fork_message_id: CLEARS_SCREEN });
    await manager.load("fork");
    expect(errors.length).toBeGreaterThan(1);
    expect(errors.map(({ error }) => (error as Error).message).filter((message) => CONTROL.test(message))).toEqual([]);
  });

  test("rule 5.1: is not in the warning of the process", async () => {
    const heard: Error[] = [];
    const listener = (warning: Error) => warning.name === "SessionWarning" && heard.push(warning);
    process.on("warning", listener);
    onTestFinished(() => void process.off("warning", listener));
    const store = new RecordingStore(new InMemorySessionStore());
    await store.save(CLEARS_SCREEN, turns(1), { kind: "root" });
    const conversation = new PlainConversation();
    const manager = new SessionManager(store, conversation);
    await manager.load(CLEARS_SCREEN);
    store.fail_saves();
    conversation.turn("one");
    await manager.flush();
    await round();
    expect(heard.map(({ message }) => message)).toEqual([expect.not.stringMatching(CONTROL)]);
  });
});
