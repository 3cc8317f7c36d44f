import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { SessionManager, type SessionStore } from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { each_backend } from "../backends.js";
import { history_of, said } from "../support/histories.js";
import { in_time, outcome_in_time } from "../support/in-time.js";
import { turns } from "../support/messages.js";
import { open_backend } from "../support/open-session.js";
import { PlainConversation } from "../support/plain-conversation.js";
import { TSX } from "../support/tsx.js";

const PROGRAM = fileURLToPath(new URL("without-disposal-symbols.ts", import.meta.url));
const run = promisify(execFile);

test("rule 15.7: in a runtime without disposal symbols both methods are there under the registered ones", async () => {
  const { stdout } = await run(process.execPath, [...TSX, PROGRAM]);
  const disposed = { messages: 2, listeners: 0 };
  expect(JSON.parse(stdout)).toEqual({
    natives: [],
    methods: ["function", "function"],
    named_undefined: false,
    dispose: { is_promise: false, ...disposed },
    async_dispose: { is_promise: true, ...disposed },
  });
});

test("rule 15.7: in a runtime with disposal symbols the methods are there under those", () => {
  expect(typeof SessionManager.prototype[Symbol.dispose]).toBe("function");
  expect(typeof SessionManager.prototype[Symbol.asyncDispose]).toBe("function");
  expect("undefined" in SessionManager.prototype).toBe(false);
});

const { setImmediate: set_immediate } = globalThis;
const next_round = () => new Promise((resolve) => set_immediate(resolve));

/** Replaces timers by fake ones that never fire. */
function stop_timers(...names: ("setImmediate" | "setTimeout" | "setInterval" | "queueMicrotask")[]): void {
  vi.useFakeTimers({ toFake: names });
  onTestFinished(() => void vi.useRealTimers());
}

/** Stores so many sessions that a list of them takes more than one slice of time. */
async function fill(store: SessionStore): Promise<void> {
  for (let n = 0; n < 40; n += 1) {
    await store.save(`s${n}`, turns(3, `${n} `), { kind: "root", custom: { padding: "x".repeat(20_000) } });
  }
  await store.save("fork", turns(1, "f"), { parent_id: "s1", fork_message_id: "1 a1" });
}

each_backend((backend) => {
  describe.each([
    ["setImmediate", ["setImmediate"]],
    ["all timers", ["setImmediate", "setTimeout", "setInterval", "queueMicrotask"]],
  ] as const)("with a replaced %s", (_what, names) => {
    test("rule 15.7: every operation of a manager settles", async () => {
      const { store } = await open_backend(backend);
      await fill(store);
      const conversation = new PlainConversation();
      const manager = new SessionManager(store, conversation);
      stop_timers(...names);
      const calls: [string, () => Promise<unknown>][] = [
        ["list()", () => manager.list()],
        ["list(query)", () => manager.list({ limit: 3 })],
        ["load()", () => manager.load()],
        ["load(id)", () => manager.load("s1")],
        ["fork()", () => manager.fork("s1", { message_id: "1 a1" })],
        ["rename()", () => manager.rename("s2", "renamed")],
        ["rewind()", () => manager.rewind("1 u1")],
        ["save()", () => manager.save()],
        ["delete(another)", () => manager.delete("s1")],
        ["flush()", () => manager.flush()],
        ["delete(current)", () => manager.delete(manager.current_session_id!)],
      ];
      for (const [name, call] of calls) {
        expect([name, await outcome_in_time(call(), name)]).toEqual([name, "done"]);
      }
    });

    test("rule 15.7: async disposal stores what there is and settles", async () => {
      const { store } = await open_backend(backend);
      const conversation = new PlainConversation();
      const manager = new SessionManager(store, conversation);
      stop_timers(...names);
      const id = manager.start_new();
      conversation.turn("one");
      await in_time(manager[Symbol.asyncDispose](), "disposal");
      vi.useRealTimers();
      expect(await history_of(store, id)).toEqual(said("one"));
    });

    test("rule 15.7: behind a turn that ends without an answer every operation settles", async () => {
      const { store } = await open_backend(backend);
      await store.save("other", []);
      const conversation = new PlainConversation();
      const manager = new SessionManager(store, conversation);
      stop_timers(...names);
      manager.start_new();
      for (const state of ["awaiting_response", "idle"] as const) {
        conversation.state = state;
        conversation.emit("state_change");
      }
      await next_round(); // an answer would follow at once
      expect(await outcome_in_time(manager.load("other"), "load")).toBe("done");
    });
  });
});
