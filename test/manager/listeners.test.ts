import process from "node:process";
import { InMemorySessionStore, SessionManager, type SessionManagerEvents } from "@simulacra-ai/session";
import { expect, onTestFinished, test, vi } from "vitest";
import { each_backend, offers } from "../backends.js";
import { round } from "../core/helpers.js";
import { history_of, said } from "../support/histories.js";
import { turns } from "../support/messages.js";
import { metadata_of, open_backend, open_plain } from "../support/open-session.js";
import { PlainConversation } from "../support/plain-conversation.js";
import { RecordingStore } from "../support/recording-store.js";

/** Collects unhandled rejections. Detaches the listeners of the test runner meanwhile, which would fail the whole run. */
function unhandled_rejections(): unknown[] {
  const reasons: unknown[] = [];
  const before = process.listeners("unhandledRejection");
  const listener = (reason: unknown) => void reasons.push(reason);
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", listener);
  onTestFinished(() => {
    process.off("unhandledRejection", listener);
    before.forEach((other) => process.on("unhandledRejection", other));
  });
  return reasons;
}

function warnings(): Error[] {
  const heard: Error[] = [];
  const listener = (warning: Error) => warning.name === "SessionWarning" && heard.push(warning);
  process.on("warning", listener);
  onTestFinished(() => void process.off("warning", listener));
  return heard;
}

/** Makes a listener that returns a rejected promise, as an `async` function does that throws. */
function rejecting(message: string): () => void {
  const listener = (): unknown => Promise.reject(new Error(message));
  return listener;
}

/** Waits until Node.js has reported unhandled rejections. */
async function settle(): Promise<void> {
  for (let rounds = 0; rounds < 5; rounds += 1) {
    await round();
  }
}

each_backend((backend) => {
  test("rule 5.3: an async listener that fails is reported, and nothing is left unhandled", async () => {
    const unhandled = unhandled_rejections();
    const { store } = await open_backend(backend);
    await store.save("other", turns(1), { kind: "root" });
    const { manager, conversation, errors } = open_plain(store);
    const events = ["save", "load", "dispose"] as const satisfies (keyof SessionManagerEvents)[];
    for (const event of events) {
      manager.on(event, rejecting(`listener of ${event}`));
    }
    const id = manager.start_new();
    await manager.flush();
    conversation.turn("one");
    await manager.flush();
    await manager.load("other");
    manager[Symbol.dispose]();
    await vi.waitFor(() => expect(errors).toHaveLength(4));
    await settle();
    expect(errors.map(({ operation, error }) => [operation, (error as Error).message])).toEqual(
      ["save", "save", "load", "dispose"].map((event) => [`listener of ${event}`, `listener of ${event}`]),
    );
    expect(unhandled).toEqual([]);
    expect(await history_of(store, id)).toEqual(said("one"));
    expect(await metadata_of(store, id)).toMatchObject({ message_count: 2 });
  });
});

each_backend((backend) => {
  test("rule 5.3: an async listener of conflict that fails is reported", async () => {
    const unhandled = unhandled_rejections();
    const { store } = await open_backend(backend);
    await store.save("s", turns(1), { kind: "root" });
    const [ours, theirs] = [open_plain(store), open_plain(store)];
    await ours.manager.load("s");
    await theirs.manager.load("s");
    ours.manager.on("conflict", rejecting("listener of conflict"));
    theirs.conversation.turn("theirs");
    await theirs.manager.flush();
    ours.conversation.turn("ours");
    await ours.manager.flush();
    await settle();
    expect(ours.errors).toMatchObject([
      { operation: "listener of conflict", error: { message: "listener of conflict" } },
    ]);
    expect(unhandled).toEqual([]);
  });
}, offers("append"));

test("rule 5.3: an async listener of lifecycle_error that fails is a warning at most, and no error of its own", async () => {
  const [unhandled, heard] = [unhandled_rejections(), warnings()];
  const store = new RecordingStore(new InMemorySessionStore());
  const conversation = new PlainConversation();
  const manager = new SessionManager(store, conversation);
  const told: string[] = [];
  manager.on("lifecycle_error", rejecting("deaf on this ear"));
  manager.on("lifecycle_error", ({ operation }) => void told.push(operation));
  manager.start_new();
  await manager.flush();
  for (const text of ["one", "two"]) {
    store.fail_saves();
    conversation.turn(text);
    await manager.flush();
    await settle();
  }
  expect(told).toEqual(["save", "save"]);
  expect(unhandled).toEqual([]);
  expect(heard.length).toBeLessThanOrEqual(1);
});

test("rule 5.3: where nobody hears of it, an async listener that fails is one warning", async () => {
  const [unhandled, heard] = [unhandled_rejections(), warnings()];
  const conversation = new PlainConversation();
  const manager = new SessionManager(new InMemorySessionStore(), conversation);
  manager.on("save", rejecting("listener of save"));
  manager.start_new();
  for (const text of ["one", "two"]) {
    conversation.turn(text);
    await manager.flush();
  }
  await settle();
  expect(unhandled).toEqual([]);
  expect(heard.map(({ message }) => message)).toEqual([expect.stringContaining("listener of save")]);
});

test("rule 5.3: a listener whose thenable is no promise is reported, too", async () => {
  const unhandled = unhandled_rejections();
  const manager = new SessionManager(new InMemorySessionStore(), new PlainConversation());
  const told: string[] = [];
  manager.on("lifecycle_error", ({ operation }) => void told.push(operation));
  const thenable = {
    then: (_resolve: unknown, reject: (reason: unknown) => void) => reject(new Error("thenable")),
  };
  manager.on("save", () => thenable);
  manager.on("save", () => ({ then: "not a function" }));
  manager.start_new();
  await manager.flush();
  await settle();
  expect(told).toEqual(["listener of save"]);
  expect(unhandled).toEqual([]);
});

test("rule 5.3: a listener that failed is called again, until it is removed", async () => {
  const unhandled = unhandled_rejections();
  const conversation = new PlainConversation();
  const manager = new SessionManager(new InMemorySessionStore(), conversation);
  const told: string[] = [];
  manager.on("lifecycle_error", ({ operation }) => void told.push(operation));
  const failing = rejecting("listener of save");
  manager.on("save", failing);
  manager.start_new();
  await manager.flush();
  await settle();
  conversation.turn("one");
  await manager.flush();
  await settle();
  manager.off("save", failing);
  conversation.turn("two");
  await manager.flush();
  await settle();
  expect(told).toEqual(["listener of save", "listener of save"]);
  expect(unhandled).toEqual([]);
});
