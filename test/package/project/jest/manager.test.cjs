const { EventEmitter } = require("node:events");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { FileSessionStore, InMemorySessionStore, SessionError, SessionManager } = require("@simulacra-ai/session");

const async_dispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

/** A conversation as applications' tests have one. */
class PlainConversation extends EventEmitter {
  messages = [];

  load(messages) {
    this.messages = [...messages];
  }

  clear() {
    this.messages = [];
  }

  turn(text) {
    for (const [role, said] of [
      ["user", text],
      ["assistant", `re: ${text}`],
    ]) {
      this.messages.push({ role, id: `${role} ${text}`, content: [{ type: "text", text: said }] });
    }
    this.emit("message_complete");
  }

  texts() {
    return this.messages.map(({ content }) => content[0].text);
  }
}

const directories = [];

function directory() {
  const path = mkdtempSync(join(tmpdir(), "jest-"));
  directories.push(path);
  return path;
}

const STORES = {
  memory() {
    const store = new InMemorySessionStore();
    return () => store;
  },
  file() {
    const root = directory();
    return () => new FileSessionStore(root);
  },
};

const TIMERS = {
  "the timers of the configuration": () => undefined,
  "fake timers since the import": () => jest.useFakeTimers(),
  "real timers since the import": () => jest.useRealTimers(),
};

afterAll(() => {
  for (const path of directories) {
    rmSync(path, { recursive: true });
  }
});

describe.each(Object.keys(TIMERS))("with %s", (timers) => {
  beforeEach(() => void TIMERS[timers]());

  describe.each(Object.keys(STORES))("on the %s store", (store) => {
    test("a manager stores, loads, forks and rewinds", async () => {
      const open = STORES[store]();
      const conversation = new PlainConversation();
      const manager = new SessionManager(open(), conversation);
      const id = manager.start_new();
      conversation.turn("one");
      conversation.turn("two");
      await manager.flush();
      expect(manager.pending).toBe(0);

      const second = new PlainConversation();
      const reader = new SessionManager(open(), second);
      await reader.load();
      expect(reader.current_session_id).toBe(id);
      expect(second.texts()).toEqual(["one", "re: one", "two", "re: two"]);

      const fork = await reader.fork(id, { message_id: "assistant one" });
      second.turn("three");
      await reader.flush();
      await reader.load(id);
      const rest = await reader.rewind("assistant one");
      expect(second.texts()).toEqual(["one", "re: one"]);
      await reader.load(rest);
      expect(second.texts()).toEqual(["one", "re: one", "two", "re: two"]);
      await reader.load(fork);
      expect(second.texts()).toEqual(["one", "re: one", "three", "re: three"]);
      expect((await reader.list()).map((entry) => entry.id).sort()).toEqual([id, fork, rest].sort());

      await Promise.all([manager[async_dispose](), reader[async_dispose]()]);
      expect(conversation.eventNames()).toEqual([]);
    });

    test("errors are those of this realm", async () => {
      const manager = new SessionManager(STORES[store]()(), new PlainConversation());
      const error = await manager.load("none").catch((reason) => reason);
      expect(error).toBeInstanceOf(SessionError);
      expect(error).toBeInstanceOf(Error);
      expect(error).toMatchObject({ name: "SessionError", code: "not_found", session_id: "none" });
      expect(() => manager.start_new(5)).toThrow(SessionError);
      await expect(manager.rename("none", "label")).rejects.toThrow(SessionError);
    });
  });
});

test("instanceof holds across the registries of Jest", () => {
  jest.isolateModules(() => {
    const copy = require("@simulacra-ai/session");
    expect(copy.SessionError).not.toBe(SessionError);
    expect(new copy.SessionError("storage", "theirs")).toBeInstanceOf(SessionError);
    expect(new SessionError("storage", "ours")).toBeInstanceOf(copy.SessionError);
  });
});
