import diagnostics from "node:diagnostics_channel";
import vm from "node:vm";
import {
  EncryptedSessionStore,
  InMemorySessionStore,
  RedactingSessionStore,
  SessionError,
  SessionManager,
  STORE_CHANNEL,
  type SessionRevision,
  type SessionTrace,
  type StoredSession,
} from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { user } from "./support/messages.js";
import { package_copy } from "./support/package-copy.js";
import { PlainConversation } from "./support/plain-conversation.js";

class OwnError extends SessionError {}
class OwnerError extends OwnError {}

describe("rule 25: `instanceof SessionError`", () => {
  test("holds across copies of the package, both ways", async () => {
    const copy = await package_copy();
    expect(copy.SessionError).not.toBe(SessionError);
    const theirs = await new copy.InMemorySessionStore()
      .append("none", [], { revision: "r" })
      .catch((error: unknown) => error);
    expect(theirs instanceof SessionError).toBe(true);
    expect(theirs instanceof copy.SessionError).toBe(true);
    expect(new SessionError("storage", "ours") instanceof copy.SessionError).toBe(true);
    expect(new OwnError("storage", "ours") instanceof copy.SessionError).toBe(true);
  });

  test("is as usual for subclasses", async () => {
    const copy = await package_copy();
    const owner = new OwnerError("storage", "owner");
    expect([SessionError, OwnError, OwnerError].map((type) => owner instanceof type)).toEqual([true, true, true]);
    const own = new OwnError("storage", "own");
    expect([SessionError, OwnError, OwnerError].map((type) => own instanceof type)).toEqual([true, true, false]);
    expect(new SessionError("storage", "none of them") instanceof OwnError).toBe(false);
    expect(new copy.SessionError("storage", "none of them") instanceof OwnError).toBe(false);
  });

  test("is false for everything else", () => {
    const look_alike = Object.assign(new Error("like one"), { name: "SessionError", code: "storage" });
    for (const value of [undefined, null, 0, "SessionError", {}, [], new Error("none"), look_alike, SessionError]) {
      expect(value instanceof SessionError).toBe(false);
    }
    expect(Object.create(SessionError.prototype) instanceof SessionError).toBe(true);
  });

  test("shows nothing of how it does so", () => {
    const error = new SessionError("storage", "plain");
    expect(Reflect.ownKeys(error).filter((key) => typeof key === "symbol")).toEqual([]);
    expect({ ...error }).toEqual({ name: "SessionError", code: "storage" });
  });
});

test("rule 7.2: a session is damaged by its error's code, whatever name a subclass of the error has", async () => {
  class Unreadable extends SessionError {
    constructor() {
      super("corrupt", "the cipher text does not open");
      Object.defineProperty(this, "name", { value: "Unreadable" });
    }
  }
  class Sealed extends InMemorySessionStore {
    override load(id: string): Promise<StoredSession | undefined> {
      return id === "newest" ? Promise.reject(new Unreadable()) : super.load(id);
    }
  }
  const store = new Sealed();
  await store.save("older", [user("one")], { updated_at: "2024-01-01T00:00:00.000Z" });
  await store.save("newest", [user("two")]);
  const manager = new SessionManager(store, new PlainConversation());
  manager.on("lifecycle_error", () => undefined);
  await manager.load();
  expect(manager.current_session_id).toBe("older");
});

test("rule 27: an operation is published once, where the store is of another copy than the manager", async () => {
  const copy = await package_copy();
  const ended: string[] = [];
  const channel = diagnostics.tracingChannel<unknown, SessionTrace>(STORE_CHANNEL);
  const ignore = () => undefined;
  const subscribers = {
    start: ignore,
    end: ignore,
    asyncStart: ignore,
    asyncEnd: ({ operation }: SessionTrace) => void ended.push(operation),
    error: ignore,
  };
  channel.subscribe(subscribers);
  onTestFinished(() => void channel.unsubscribe(subscribers));
  class Overriding extends copy.InMemorySessionStore {
    override replace(...args: Parameters<InMemorySessionStore["replace"]>): Promise<SessionRevision> {
      return super.replace(...args);
    }
  }
  for (const store of [new copy.InMemorySessionStore(), new Overriding(), copy.traced(new Overriding())]) {
    const conversation = new PlainConversation();
    const manager = new SessionManager(store, conversation);
    manager.start_new();
    conversation.turn("one");
    await manager.flush();
    await manager.list();
    const operations = ended.splice(0);
    expect(operations).toEqual(expect.arrayContaining(["replace", "list"]));
    expect(operations.filter((operation, at) => operation === operations[at + 1])).toEqual([]);
  }
});

test("a store of another copy that redacts is refused inside of one that encrypts", async () => {
  const copy = await package_copy();
  const inner = new copy.RedactingSessionStore(new copy.InMemorySessionStore());
  const keys = { keys: { one: new Uint8Array(32) }, current: "one" };
  expect(() => new EncryptedSessionStore(inner, keys)).toThrow(SessionError);
  expect(() => new EncryptedSessionStore(new RedactingSessionStore(inner), keys)).toThrow(SessionError);
  const encrypted = new EncryptedSessionStore(new copy.InMemorySessionStore(), keys);
  expect(() => new copy.EncryptedSessionStore(encrypted, keys)).not.toThrow();
});

test("a key may be a Uint8Array of another realm", () => {
  const key = vm.runInNewContext("new Uint8Array(32)") as Uint8Array;
  expect(key instanceof Uint8Array).toBe(false);
  const store = () => new EncryptedSessionStore(new InMemorySessionStore(), { keys: { one: key }, current: "one" });
  expect(store).not.toThrow();
});
