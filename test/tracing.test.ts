import diagnostics from "node:diagnostics_channel";
import fs from "node:fs";
import { trace as opentelemetry } from "@opentelemetry/api";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { Conversation, next_reply, StreamingProvider, type Message } from "@simulacra-ai/core";
import {
  InMemorySessionStore,
  MANAGER_CHANNEL,
  SessionManager,
  STORE_CHANNEL,
  traced,
  type SessionQuery,
  type SessionStore,
  type SessionTrace,
} from "@simulacra-ai/session";
import { expect, onTestFinished, test } from "vitest";
import { has_capability } from "../src/capabilities.js";
import { loaded, message, outcome_of, type FullStore } from "./stores/helpers.js";
import { each_backend, offers } from "./backends.js";
import { open_backend } from "./support/open-session.js";
import { FourMethodStore } from "./support/four-method-store.js";
import { trace_sessions } from "./support/opentelemetry.js";

/** What a channel publishes from now on, when it has ended. */
function listen(name: string): { ended: SessionTrace[]; published: string[] } {
  const ended: SessionTrace[] = [];
  const published: string[] = [];
  const channel = diagnostics.tracingChannel<unknown, SessionTrace>(name);
  const note = (event: string) => (trace: SessionTrace) => void published.push(`${event} ${trace.operation}`);
  const subscribers = {
    start: note("start"),
    end: note("end"),
    asyncStart: note("asyncStart"),
    asyncEnd: (trace: SessionTrace) => {
      note("asyncEnd")(trace);
      ended.push(trace);
    },
    error: note("error"),
  };
  channel.subscribe(subscribers);
  onTestFinished(() => void channel.unsubscribe(subscribers));
  return { ended, published };
}

each_backend(
  (backend) => {
    test("rule 27: every operation is published, with counts, bytes and duration", async () => {
      const store = traced((await open_backend(backend)).store as FullStore);
      const { ended } = listen(STORE_CHANNEL);
      await store.save("s", [message("one")]);
      await store.append("s", [message("two"), message("three")], await loaded(store));
      await store.replace("s", [message("new")], await loaded(store));
      await store.update("s", { label: "L" });
      await store.set_draft("s", undefined);
      await store.flush?.("s");
      await store.list();
      await store.delete("s");
      const told = ended.map(({ operation, session_id, count }) => [operation, session_id, count].join(" "));
      const flush = store.flush === undefined ? [] : ["flush s "];
      expect(told).toEqual([
        "save s 1",
        "load s 1",
        "append s 2",
        "load s 3",
        "replace s 1",
        "update s ",
        "set_draft s ",
        ...flush,
        "list  1",
        "delete s ",
      ]);
      expect(ended.every(({ duration_ms = -1 }) => duration_ms >= 0)).toBe(true);
      expect(ended[0]?.bytes).toBe(Buffer.byteLength(JSON.stringify(message("one"))));
      expect(ended.every((trace) => trace.store === store.constructor.name)).toBe(true);
    });

    test("rule 27: a failure is published with its code, and no content ever", async () => {
      const store = traced((await open_backend(backend)).store as FullStore);
      const { ended, published } = listen(STORE_CHANNEL);
      await store.save("s", [message("the secret")], { label: "the secret" });
      expect(await outcome_of(store.append("s", [message("the secret")], { revision: "passed" }))).toBe("conflict");
      expect(ended.at(-1)?.error).toEqual({ name: "SessionError", code: "conflict" });
      expect(published).toEqual([
        "start save",
        "end save",
        "asyncStart save",
        "asyncEnd save",
        "start append",
        "end append",
        "error append",
        "asyncStart append",
        "asyncEnd append",
      ]);
      expect(JSON.stringify(ended)).not.toContain("secret");
    });
  },
  offers("append", "replace", "update", "set_draft"),
);

async function one_turn(store: SessionStore): Promise<{ manager: SessionManager; id: string }> {
  const conversation = new Conversation(new StreamingProvider([{ text: "hi" }]));
  const manager = new SessionManager(store, conversation);
  const id = manager.start_new();
  await Promise.all([next_reply(conversation), conversation.prompt("hello")]);
  await manager.flush();
  return { manager, id };
}

test("rule 27: a manager publishes what it does, and what stores of others do", async () => {
  const [managers, stores] = [listen(MANAGER_CHANNEL), listen(STORE_CHANNEL)];
  const { manager, id } = await one_turn(Object.freeze(new FourMethodStore()));
  const fork_id = await manager.fork(id);
  await manager.load(id);
  const told = managers.ended.map(({ operation, session_id, count, fork_id: to }) =>
    [operation, session_id, count, to].join(" "),
  );
  expect(told).toContain(`save ${id} 2 `);
  expect(told).toContain(`fork ${id}  ${fork_id}`);
  expect(told).toContain(`load ${id}  `);
  expect(stores.ended.map(({ operation, store }) => `${store} ${operation}`)).toContain("FourMethodStore save");
});

test("rule 27: every method is published once, whichever of them a subclass changes", async () => {
  class OnlyLoad extends InMemorySessionStore {
    override async load(id: string) {
      await Promise.resolve();
      return super.load(id);
    }
    override list(query?: SessionQuery) {
      return super.list({ ...query });
    }
  }
  class AllButLoad extends FourMethodStore {
    async append(id: string, messages: Message[]) {
      await super.save(id, messages);
      return { revision: "r" };
    }
  }
  class OwnWrites extends InMemorySessionStore {
    readonly own = new Map<string, number>();
    override async save(id: string, messages: Message[]) {
      this.own.set(id, messages.length);
    }
    override async replace(id: string, messages: Message[]) {
      this.own.set(id, messages.length);
      return { revision: "r" };
    }
  }
  const told = async (store: SessionStore) => {
    const { ended } = listen(STORE_CHANNEL);
    const manager = new SessionManager(store, new Conversation(new StreamingProvider()));
    const id = manager.start_new("L");
    await manager.flush();
    await manager.list();
    await manager.load(id).catch(() => undefined);
    return ended.map(({ operation, store: name }) => `${name} ${operation}`);
  };
  expect(await told(new OnlyLoad())).toEqual(["OnlyLoad save", "OnlyLoad list", "OnlyLoad load"]);
  expect(await told(new OwnWrites())).toEqual(["OwnWrites replace", "OwnWrites list", "OwnWrites load"]);
  expect(await told(new AllButLoad())).toEqual(["AllButLoad save", "AllButLoad list", "AllButLoad load"]);
});

test("rule 27: a frozen object and one without a prototype are stores like any other, listened to or not", async () => {
  const inner = new FourMethodStore();
  const literal: SessionStore = {
    list: () => inner.list(),
    load: (id) => inner.load(id),
    save: (id, messages, metadata) => inner.save(id, messages, metadata),
    delete: (id) => inner.delete(id),
  };
  const bare = Object.assign(Object.create(null) as SessionStore, literal);
  for (const store of [Object.freeze({ ...literal }), bare, Object.freeze(bare)]) {
    const { ended } = listen(STORE_CHANNEL);
    const { manager, id } = await one_turn(store);
    await manager.list();
    expect(new Set(ended.map(({ operation }) => operation))).toEqual(new Set(["save", "list"]));
    expect((await inner.load(id))?.messages).toHaveLength(2);
  }
});

test("rule 24: what is traced has the capabilities of the store, and no others", () => {
  class Changed extends InMemorySessionStore {
    override save(...args: Parameters<InMemorySessionStore["save"]>) {
      return super.save(...args);
    }
  }
  const stores = [new Changed(), new FourMethodStore(), Object.freeze({ ...new FourMethodStore() }) as SessionStore];
  for (const store of stores) {
    for (const capability of ["append", "replace", "update", "flush", "set_draft"] as const) {
      expect(has_capability(traced(store), capability)).toBe(has_capability(store, capability));
    }
  }
  const own = Object.freeze(
    Object.assign(new Changed(), { save: async () => {}, append: async () => ({ revision: "" }) }),
  );
  expect(has_capability(traced(own), "append")).toBe(true);
  expect(has_capability(traced(own), "update")).toBe(false);
});

test("rule 27: a conflict is published with both sessions", async () => {
  const store = new InMemorySessionStore();
  const { manager, id } = await one_turn(store);
  const { ended } = listen(MANAGER_CHANNEL);
  await store.save(id, [message("of another writer")]);
  await manager.save({ label: "mine" });
  const conflict = ended.find(({ operation }) => operation === "conflict");
  expect(conflict).toMatchObject({ session_id: id, fork_id: manager.current_session_id });
});

test("rule 27: a health check sees what is pending and what failed last", async () => {
  class Full extends InMemorySessionStore {
    is_full = true;
    override async replace(...args: Parameters<InMemorySessionStore["replace"]>) {
      if (this.is_full) {
        throw new Error("full");
      }
      return super.replace(...args);
    }
  }
  const store = new Full();
  const manager = new SessionManager(store, new Conversation(new StreamingProvider()));
  manager.on("lifecycle_error", () => undefined);
  expect([manager.pending, manager.last_error]).toEqual([0, undefined]);
  manager.start_new();
  expect(manager.pending).toBe(1);
  await expect(manager.flush()).rejects.toThrow("full");
  expect(manager.last_error).toMatchObject({ message: "full" });
  store.is_full = false;
  await manager.flush();
  expect([manager.pending, manager.last_error]).toEqual([0, undefined]);
});

test("rule 27: the example of the README makes spans", async () => {
  const example = fs.readFileSync(new URL("support/opentelemetry.ts", import.meta.url), "utf8").trim();
  expect(fs.readFileSync(new URL("../README.md", import.meta.url), "utf8")).toContain(example);
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  opentelemetry.setGlobalTracerProvider(provider);
  const stop = trace_sessions();
  const store = traced(new InMemorySessionStore());
  await store.save("s", [message("one")]);
  await outcome_of(store.append("s", [], { revision: "passed" }));
  stop();
  await store.load("s");
  const spans = exporter.getFinishedSpans();
  expect(spans.map(({ name, attributes }) => [name, attributes["session_id"], attributes["error.type"]])).toEqual([
    ["session save", "s", undefined],
    ["session append", "s", "conflict"],
  ]);
  await provider.shutdown();
  opentelemetry.disable();
});
