import { randomBytes } from "node:crypto";
import {
  copy_sessions,
  EncryptedSessionStore,
  FileSessionStore,
  InMemorySessionStore,
  RedactingSessionStore,
  type CopyProgress,
  type SessionStore,
} from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { FourMethodStore } from "./support/four-method-store.js";
import { turns, user } from "./support/messages.js";
import { temporary_directory } from "./support/temporary-directory.js";

const DATE = { created_at: "2020-01-01T00:00:00.000Z", updated_at: "2021-01-01T00:00:00.000Z" };

/** A parent, a fork of a fork of it, a detached child, a checkpoint, a cycle, and an orphan. */
async function filled(store: SessionStore): Promise<SessionStore> {
  await store.save("z-parent", turns(2), { ...DATE, label: "l", label_source: "user", kind: "root" });
  await store.save("m-fork", turns(1, "f"), { ...DATE, parent_id: "z-parent", fork_message_count: 2, kind: "fork" });
  await store.save("a-fork", turns(1, "g"), { ...DATE, parent_id: "m-fork", fork_message_count: 4, kind: "fork" });
  await store.save("child", turns(1), { ...DATE, parent_id: "z-parent", detached: true, kind: "child" });
  await store.save("one", [], { ...DATE, parent_id: "two" });
  await store.save("two", [], { ...DATE, parent_id: "one", custom: { a: [null, 1] } });
  await store.save("orphan", turns(1), { ...DATE, parent_id: "nobody", unheard_of: { kept: true } } as object);
  return store;
}

const ALL = ["a-fork", "child", "m-fork", "one", "orphan", "two", "z-parent"];

async function everything(store: SessionStore): Promise<unknown[]> {
  const sessions = await Promise.all((await store.list()).map(({ id }) => store.load(id)));
  return sessions.map((session) => ({ ...session, revision: undefined }));
}

describe("rule 53: copy_sessions", () => {
  test("copies everything as it is, parents first, and tells how far it is", async () => {
    const from = await filled(new InMemorySessionStore());
    const to = new InMemorySessionStore();
    const progress: CopyProgress[] = [];
    const report = await copy_sessions(from, to, { on_progress: (one) => progress.push(one) });
    expect(report).toEqual({ copied: expect.any(Array) as string[], skipped: [], different: [], failed: [] });
    expect([...report.copied].sort()).toEqual(ALL);
    const place = (id: string) => report.copied.indexOf(id);
    expect([place("z-parent") < place("m-fork"), place("m-fork") < place("a-fork")]).toEqual([true, true]);
    expect(await everything(to)).toEqual(await everything(from));
    expect(progress.map(({ done, total, result }) => [done, total, result])).toEqual(
      ALL.map((_, index) => [index + 1, ALL.length, "copied"]),
    );
  });

  test("works between stores of any kind, drafts and damage included", async () => {
    const { path, remove } = await temporary_directory();
    try {
      const files = await filled(new FileSessionStore(path, { durable: false }));
      await files.set_draft?.("child", { prompt: user("typed", "p"), updated_at: DATE.updated_at });
      const keys = { k: randomBytes(32) };
      const stores: SessionStore[] = [
        new EncryptedSessionStore(new InMemorySessionStore(), { keys, current: "k" }),
        new FourMethodStore(),
        new RedactingSessionStore(new InMemorySessionStore()),
      ];
      for (const to of stores) {
        const { copied, failed } = await copy_sessions(files, to);
        expect([[...copied].sort(), failed]).toEqual([ALL, []]);
      }
      expect((await stores[0]?.load("child"))?.draft?.prompt).toEqual(user("typed", "p"));
      const back = new InMemorySessionStore();
      await copy_sessions(stores[0] as SessionStore, back);
      expect(await everything(back)).toEqual(await everything(files));
    } finally {
      await remove();
    }
  });

  test("goes on after an interruption, and skips what is there", async () => {
    const from = await filled(new InMemorySessionStore());
    const to = new InMemorySessionStore();
    const stop = new Error("stop");
    const on_progress = ({ done }: CopyProgress) => {
      if (done === 3) {
        throw stop;
      }
    };
    await expect(copy_sessions(from, to, { on_progress })).rejects.toBe(stop);
    const report = await copy_sessions(from, to);
    expect([report.skipped.length, report.copied.length]).toEqual([3, 4]);
    expect(await everything(to)).toEqual(await everything(from));
  });

  test("leaves what is different alone, or replaces it where that is asked for", async () => {
    const from = await filled(new InMemorySessionStore());
    const to = new InMemorySessionStore();
    await to.save("z-parent", turns(9), { label: "another", label_source: "user", kind: "fork", provider: "p" });
    expect(await copy_sessions(from, to, { ids: ["z-parent"] })).toMatchObject({ different: ["z-parent"], copied: [] });
    expect((await to.load("z-parent"))?.messages).toHaveLength(18);
    expect(await copy_sessions(from, to, { overwrite: true })).toMatchObject({ different: [], failed: [] });
    expect(await everything(to)).toEqual(await everything(from));
  });

  test("of chosen sessions takes along what they inherit from, and nothing else", async () => {
    const from = await filled(new InMemorySessionStore());
    const report = await copy_sessions(from, new InMemorySessionStore(), { ids: ["a-fork", "child", "missing"] });
    expect(report.copied).toEqual(["z-parent", "m-fork", "a-fork", "child"]);
    expect(report.failed).toMatchObject([{ id: "missing", error: { code: "not_found" } }]);
  });

  test("gives the draft to what has all but that", async () => {
    class Interrupted extends InMemorySessionStore {
      is_up = false;
      override async set_draft(...args: Parameters<InMemorySessionStore["set_draft"]>): Promise<void> {
        if (!this.is_up) {
          throw new Error("connection lost");
        }
        return super.set_draft(...args);
      }
    }
    const from = new InMemorySessionStore();
    const draft = { prompt: user("typed", "p"), updated_at: DATE.updated_at };
    await from.save("s", turns(1));
    await from.set_draft("s", draft);
    const to = new Interrupted();
    expect((await copy_sessions(from, to)).failed).toMatchObject([{ id: "s" }]);
    to.is_up = true;
    expect(await copy_sessions(from, to)).toMatchObject({ copied: ["s"], different: [], failed: [] });
    expect(await everything(to)).toEqual(await everything(from));
    expect(await copy_sessions(from, to)).toMatchObject({ skipped: ["s"], copied: [] });
    const newer = { ...draft, prompt: user("typed later", "q") };
    await to.set_draft("s", newer);
    expect(await copy_sessions(from, to)).toMatchObject({ different: ["s"] });
    expect((await to.load("s"))?.draft).toEqual(newer);
  });

  test("takes null for nothing, and counts the messages itself", async () => {
    class Miscounting extends FourMethodStore {
      override async load(id: string): ReturnType<FourMethodStore["load"]> {
        const session = await super.load(id);
        return session && { ...session, metadata: { ...session.metadata, message_count: 99 } };
      }
    }
    for (const from of [new FourMethodStore(), new Miscounting()]) {
      await from.save("s", turns(1), { ...DATE, label: null, custom: { a: null } } as object);
      for (const to of [new InMemorySessionStore(), new FourMethodStore()]) {
        expect(await copy_sessions(from, to)).toMatchObject({ copied: ["s"], failed: [] });
        expect((await to.load("s"))?.metadata).toMatchObject({ message_count: 2, custom: { a: null } });
        expect(await copy_sessions(from, to)).toMatchObject({ skipped: ["s"], failed: [] });
      }
    }
  });

  test("looks at each session once, however many there are", async () => {
    let reads = 0;
    const entries = Array.from({ length: 20_000 }, (_, n) => ({
      ...DATE,
      message_count: 0,
      get id() {
        reads += 1;
        return `s${n}`;
      },
    }));
    const load = () => Promise.resolve(undefined);
    const from = { list: () => Promise.resolve(entries), load } as Partial<SessionStore> as SessionStore;
    expect((await copy_sessions(from, new InMemorySessionStore())).failed).toHaveLength(entries.length);
    expect(reads).toBeLessThan(100 * entries.length);
  });

  test("reports what cannot be read, and what is not the same when it is read back, and goes on", async () => {
    class Unreadable extends InMemorySessionStore {
      override async load(id: string): ReturnType<InMemorySessionStore["load"]> {
        if (id === "child") {
          throw new Error("disk on fire");
        }
        return super.load(id);
      }
    }
    class Forgetful extends InMemorySessionStore {
      override save(...[id, messages, metadata]: Parameters<InMemorySessionStore["save"]>): Promise<void> {
        return super.save(id, id === "one" ? [user("x")] : messages, metadata);
      }
    }
    const { failed, copied } = await copy_sessions(await filled(new Unreadable()), new Forgetful());
    expect(failed.map(({ id, error }) => [id, error.code]).sort()).toEqual([
      ["child", "storage"],
      ["one", "storage"],
    ]);
    expect(copied).toHaveLength(5);
  });
});
