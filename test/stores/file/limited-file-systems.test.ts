import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { pass_time_until, use_fake_timers } from "../../support/fake-timers.js";
import { message, temporary_directory } from "../helpers.js";
import { append, append_many, expect_all, texts_in, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";
import { FEWEST, LimitedLayer, type Refusals } from "./limited-layer.js";

async function filled(root: string, refusals: Refusals): Promise<FileSessionStore> {
  const store = new FileSessionStore(root, {}, new LimitedLayer(refusals));
  await store.save("s", [message("one")], { parent_id: "p" });
  await append(store, ["two"]);
  return store;
}

describe("rule 45.1: without symbolic links", () => {
  test.each(["EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "ERR_ACCESS_DENIED"])(
    "(%s) sessions are written, and nothing is left",
    async (symlink) => {
      const root = temporary_directory();
      const store = await filled(root, { symlink });
      expect(await texts_in(root)).toEqual(["one", "two"]);
      await store.flush();
      expect(tree(root)).toEqual(["p-forks/", "p-forks/s.json", "s.json"]);
      expect(await store.delete("s")).toBe(true);
      expect(tree(root)).toEqual([]);
    },
  );

  test("an error that is no refusal is one of the store", async () => {
    const saved = filled(temporary_directory(), { symlink: "EIO" });
    await expect(saved).rejects.toMatchObject({ code: "storage" });
  });

  test("writers of both kinds exclude each other", async () => {
    const root = temporary_directory();
    const stores = [{}, FEWEST, {}, FEWEST].map(
      (refusals) => new FileSessionStore(root, { durable: false }, new LimitedLayer(refusals)),
    );
    await stores[0]!.save("s", []);
    await Promise.all(stores.map((store, n) => append_many(store, `w${n}`, 20)));
    expect_all(await texts_in(root), ["w0", "w1", "w2", "w3"], 20);
  });

  test.each(["", "x".repeat(10_000)])("a lock of any length is waited for and broken: %.20j", async (content) => {
    const root = temporary_directory();
    const store = await filled(root, FEWEST);
    fs.writeFileSync(join(root, "s.lock"), content);
    use_fake_timers();
    await pass_time_until(store.save("s", [message("three")]));
    expect(await texts_in(root)).toEqual(["three"]);
  });

  test("a lock whose content cannot be written is removed", async () => {
    const root = temporary_directory();
    const layer = new HookedLayer(({ name, path }) => {
      if (name === "symlink" || (name === "file.write" && path.endsWith(".lock"))) {
        throw Object.assign(new Error(name), { code: name === "symlink" ? "EPERM" : "ENOSPC" });
      }
    });
    await expect(new FileSessionStore(root, {}, layer).save("s", [])).rejects.toMatchObject({ code: "storage" });
    expect(tree(root)).toEqual([]);
  });

  test("a lock whose content cannot be written is not removed where another process has taken it over", async () => {
    const root = temporary_directory();
    const lock = join(root, "s.lock");
    const layer = new HookedLayer(({ name, path }) => {
      if (name === "symlink") {
        throw Object.assign(new Error(name), { code: "EPERM" });
      }
      if (name === "file.write" && path === lock) {
        fs.rmSync(lock);
        fs.writeFileSync(lock, "another's");
        throw Object.assign(new Error(name), { code: "ENOSPC" });
      }
    });
    await expect(new FileSessionStore(root, {}, layer).save("s", [])).rejects.toMatchObject({ code: "storage" });
    expect(fs.readFileSync(lock, "latin1")).toBe("another's");
  });

  test("a lock of another process is not removed where none can be made", async () => {
    const root = temporary_directory();
    await new FileSessionStore(root).save("s", [message("one")]);
    fs.writeFileSync(join(root, "s.lock"), "another's");
    const layer = new HookedLayer(({ name }) => {
      if (name === "symlink" || name === "create") {
        throw Object.assign(new Error(name), { code: "EACCES" });
      }
    });
    await expect(new FileSessionStore(root, {}, layer).save("s", [])).rejects.toMatchObject({ code: "storage" });
    expect(fs.readFileSync(join(root, "s.lock"), "latin1")).toBe("another's");
  });
});

test.each(["EPERM", "EINVAL", "EISDIR", "ENOTSUP"])(
  "rule 45.2: where the sync of a directory is refused (%s), sessions are written",
  async (sync_directory) => {
    const root = join(temporary_directory(), "made", "too");
    const store = await filled(root, { sync_directory });
    await store.set_draft("s", { prompt: { role: "user", content: [] }, updated_at: "2024-01-01T00:00:00.000Z" });
    expect(await texts_in(root)).toEqual(["one", "two"]);
  },
);

test("rule 45.2: a sync of a directory that fails is an error", async () => {
  const written = filled(temporary_directory(), { sync_directory: "EIO" });
  await expect(written).rejects.toMatchObject({ code: "storage" });
});

test.each(["EPERM", "ENOTSUP", "ENOSYS", "EXDEV", "EMLINK", "EIO"])(
  "rule 45.5: where a hard link is refused (%s), a fork is written without one",
  async (link) => {
    const root = temporary_directory();
    const store = await filled(root, { link });
    await store.flush();
    expect((await store.list()).map(({ id, parent_id }) => [id, parent_id])).toEqual([["s", "p"]]);
    expect(await texts_in(root)).toEqual(["one", "two"]);
    expect(tree(root)).toEqual(["s.json"]);
    expect(await store.verify()).toEqual([]);
    expect(await new FileSessionStore(root).verify()).toMatchObject([{ code: "fork_link" }]);
    expect(tree(root)).toEqual(["s.json"]);
  },
);

test.each(["json", "ndjson"] as const)(
  "rule 45.5: a link from before, to another version of a %s fork, goes where there can be no new one",
  async (format) => {
    const root = temporary_directory();
    await new FileSessionStore(root, { format }).save("s", [message("one")], { parent_id: "p" });
    const store = new FileSessionStore(root, {}, new LimitedLayer(FEWEST));
    await store.save("s", [message("two")]);
    expect(tree(root)).not.toContain("p-forks/");
    expect(await store.verify()).toEqual([]);
  },
);

test("rule 42: where nothing can be written, no link to a fork is missing", async () => {
  const root = temporary_directory();
  await new FileSessionStore(root).save("s", [message("one")], { parent_id: "p" });
  fs.rmSync(join(root, "p-forks"), { recursive: true });
  const layer = new HookedLayer(({ name }) => {
    if (name === "create") {
      throw Object.assign(new Error("EROFS"), { code: "EROFS" });
    }
  });
  expect(await new FileSessionStore(root, {}, layer).verify()).toEqual([]);
});
