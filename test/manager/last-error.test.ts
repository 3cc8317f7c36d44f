import { Conversation, next_reply, StreamingProvider, type ScriptedStep } from "@simulacra-ai/core";
import { InMemorySessionStore, SessionManager, type SessionMetadata } from "@simulacra-ai/session";
import { expect, test, vi } from "vitest";

/** Fails where the test says so. */
class FailingStore extends InMemorySessionStore {
  readonly failing = new Set<string>();

  #check(...operations: string[]): void {
    const found = operations.find((operation) => this.failing.has(operation));
    if (found !== undefined) {
      throw new Error(`no ${found}`);
    }
  }
  override async save(...args: Parameters<InMemorySessionStore["save"]>): Promise<void> {
    return super.save(...args);
  }
  override async load(...args: Parameters<InMemorySessionStore["load"]>) {
    return super.load(...args);
  }
  override async replace(...args: Parameters<InMemorySessionStore["replace"]>) {
    this.#check(args[2].metadata?.kind === "child" ? "child" : "replace");
    return super.replace(...args);
  }
  override async update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    this.#check("update");
    return super.update(id, metadata);
  }
  override async set_draft(...args: Parameters<InMemorySessionStore["set_draft"]>): Promise<void> {
    this.#check("set_draft");
    return super.set_draft(...args);
  }
  async flush(): Promise<void> {
    this.#check("flush");
  }
}

async function opened(steps: ScriptedStep[] = []) {
  const store = new FailingStore();
  const conversation = new Conversation(new StreamingProvider(steps));
  const manager = new SessionManager(store, conversation);
  manager.on("lifecycle_error", () => undefined);
  const id = manager.start_new();
  await manager.flush();
  const last_error = () => (manager.last_error as Error | undefined)?.message;
  return { store, conversation, manager, id, last_error };
}

test("rule 27: a child's failure counts until the child is stored, whatever its parent stores", async () => {
  const { store, conversation, manager, last_error } = await opened([{ text: "yes" }, { text: "and yes" }]);
  store.failing.add("child");
  const child = conversation.spawn_child();
  await vi.waitFor(() => expect(last_error()).toBe("no child"));
  await Promise.all([next_reply(conversation), conversation.prompt("one")]);
  await vi.waitFor(() => expect(manager.pending).toBe(0));
  expect(last_error()).toBe("no child");
  await expect(manager.flush()).rejects.toThrow("no child");
  expect(last_error()).toBe("no child");
  store.failing.clear();
  await Promise.all([next_reply(child), child.prompt("of the child")]);
  await vi.waitFor(() => expect(manager.pending).toBe(0));
  expect(last_error()).toBeUndefined();
});

test("rule 27: a draft's failure counts until a draft is stored, or flush stores that one", async () => {
  const fails = { fail_request: new Error("no network") };
  const { store, conversation, manager, id, last_error } = await opened([fails, fails, fails]);
  const stored = async () => (await store.load(id))?.draft?.prompt.content[0];
  for (const text of ["one", "two"]) {
    store.failing.add("set_draft");
    await conversation.prompt(text).catch(() => undefined);
    await manager.flush();
    expect(last_error()).toBe("no set_draft");
    store.failing.clear();
    if (text === "one") {
      await manager.flush();
      expect([last_error(), await stored()]).toMatchObject([undefined, { text }]);
    }
  }
  await conversation.prompt("three").catch(() => undefined);
  await vi.waitFor(async () => expect(await stored()).toMatchObject({ text: "three" }));
  expect(last_error()).toBeUndefined();
});

test("rule 27: a draft's failure is forgotten when its turn is complete", async () => {
  const { store, conversation, manager, last_error } = await opened([{ text: "yes" }]);
  store.failing.add("set_draft");
  await Promise.all([next_reply(conversation), conversation.prompt("one")]);
  await manager.flush();
  expect(last_error()).toBeUndefined();
});

test("rule 27: a rename that fails counts until it succeeds", async () => {
  const { store, manager, id, last_error } = await opened();
  store.failing.add("update");
  await expect(manager.rename(id, "L")).rejects.toThrow("no update");
  await manager.flush();
  expect(last_error()).toBe("no update");
  store.failing.clear();
  await manager.rename(id, "L");
  expect(last_error()).toBeUndefined();
  await expect(manager.rename("missing", "L")).rejects.toMatchObject({ code: "not_found" });
  expect(last_error()).toBeUndefined();
});

test.each(["save", "flush"] as const)("rule 27: a flush of the store that fails in %s() counts", async (operation) => {
  const { store, manager, last_error } = await opened();
  await manager.save();
  store.failing.add("flush");
  if (operation === "flush") {
    manager.start_new();
  }
  await expect(manager[operation]()).rejects.toThrow("no flush");
  expect(last_error()).toBe("no flush");
  store.failing.clear();
  await manager[operation]();
  expect(last_error()).toBeUndefined();
});

test("rule 27: of two failures the newest counts, and then the other one", async () => {
  const { store, manager, id, last_error } = await opened();
  store.failing.add("update");
  await expect(manager.rename(id, "L")).rejects.toThrow();
  store.failing.add("flush");
  await expect(manager.save()).rejects.toThrow();
  expect(last_error()).toBe("no flush");
  store.failing.delete("flush");
  await manager.save();
  expect(last_error()).toBe("no update");
  await manager.delete(id);
  expect(last_error()).toBeUndefined();
});
