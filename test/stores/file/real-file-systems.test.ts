import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type SessionError } from "@simulacra-ai/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { is_there } from "../../support/servers.js";
import { open_plain } from "../../support/open-session.js";
import { loaded, message, outcome_of, texts_of } from "../helpers.js";
import { append, append_many, require_conflicts, texts_in, tree } from "./files.js";
import { bound, exfat, overlaid, type Mount } from "./mounts.js";

const PLACES: [string, () => Mount][] = [
  ["exFAT", exfat],
  ["a mount that resolves symbolic links", () => bound("--resolve-symlinks")],
  ["a mount that refuses chmod", () => bound("--chmod-deny", "--chown-deny")],
];

test.runIf(is_there("FUSE")).each(PLACES)(
  "rule 45: %s has sessions that are written, folded and deleted",
  async (...args) => {
    const [, open_mount] = args;
    const { root, unmount } = open_mount();
    onTestFinished(unmount);
    const store = new FileSessionStore(root);
    await store.save("s", [message("one")], { parent_id: "p" });
    await append(store, ["two"]);
    expect(await texts_in(root)).toEqual(["one", "two"]);
    await store.flush();
    expect(tree(root)).toContain("s.json");
    expect((await new FileSessionStore(root).list()).map(({ id }) => id)).toEqual(["s"]);
    expect(await store.verify()).toEqual([]);
    const others = Array.from({ length: 4 }, () => new FileSessionStore(root));
    await Promise.all(others.map((other, n) => append_many(other, `w${n}`, 10)));
    expect(await texts_in(root)).toHaveLength(42);
    expect(await store.delete("s")).toBe(true);
    expect(tree(root)).toEqual([]);
  },
);

describe.runIf(is_there("FUSE"))("in a mount", () => {
  function mounted(...options: string[]): Mount {
    const mount = bound(...options);
    onTestFinished(() => mount.unmount());
    return mount;
  }

  test("rule 45.3: files have the modes that they get", async () => {
    const { root } = mounted("--chmod-deny", "--create-with-perms=a+rw");
    await new FileSessionStore(root).save("s", []);
    expect(fs.statSync(join(root, "s.json")).mode & 0o777).toBe(0o666);
  });
});

const READ_ONLY: [string, string, () => Mount][] = [
  ["FUSE", "a read-only mount", () => bound("-r")],
  ["overlayfs", "a read-only overlay", () => overlaid("read-only")],
];

describe.each(READ_ONLY)("with %s", (server, ...place) => {
  test.runIf(is_there(server)).each([place])(
    "rule 41: in %s sessions are read, and each write rejects with one error that says so",
    async (...args) => {
      const [, open_mount] = args;
      const { root, source = "", unmount } = open_mount();
      onTestFinished(unmount);
      for (const format of ["json", "ndjson"] as const) {
        const store = new FileSessionStore(source, { format });
        await store.save(format, [message("one")], { parent_id: "p", detached: true });
        await append(store, ["two"], format);
      }
      const before = tree(source);
      const store = new FileSessionStore(root);
      for (const id of ["json", "ndjson"]) {
        const { messages, revision } = await loaded(store, id);
        expect(texts_of(messages)).toEqual(["one", "two"]);
        const writes = [
          () => store.save(id, []),
          () => store.append(id, [message("three")], { revision }),
          () => store.replace(id, [], { revision }),
          () => store.update(id, { label: "L" }),
          () => store.set_draft(id, { prompt: { role: "user", content: [] }, updated_at: "2024-01-01T00:00:00.000Z" }),
          () => store.delete(id),
          () => store.flush(id),
          () => store.repair(id),
          () => store.file_system(),
        ];
        for (const write of writes) {
          await expect(write()).rejects.toMatchObject({
            code: "storage",
            path: expect.stringContaining(root) as string,
            message: expect.stringMatching(/^the storage failed: EROFS: read-only file system/) as string,
          });
        }
      }
      expect((await store.list()).map(({ id }) => id).sort()).toEqual(["json", "ndjson"]);
      expect(await store.verify()).toEqual([]);
      const { manager, conversation, errors } = open_plain(store);
      await manager.load("json");
      expect(texts_of(conversation.messages)).toEqual(["one", "two"]);
      conversation.turn("three");
      expect(await outcome_of(manager.flush())).toBe("storage");
      expect([...new Set(errors.map(({ error }) => (error as SessionError).code))]).toEqual(["storage"]);
      expect(tree(source)).toEqual(before);
    },
  );
});

test.runIf(is_there("overlayfs"))(
  "rule 45: sessions of the layer below an overlay are written on, and stay as they are below",
  async () => {
    const { root, source = "", unmount } = overlaid("writable");
    onTestFinished(unmount);
    const below = new FileSessionStore(source);
    for (const id of ["s", "gone"]) {
      await below.save(id, [message("one")], { parent_id: "p" });
      await append(below, ["two"], id);
    }
    const before = tree(source);
    const store = new FileSessionStore(root);
    expect(await store.verify()).toEqual([]);
    await append(store, ["three"]);
    expect(await store.delete("gone")).toBe(true);
    await store.flush();
    expect(await new FileSessionStore(root).verify()).toEqual([]);
    expect(tree(root)).toEqual(["p-forks/", "p-forks/s.json", "s.json"]);
    expect(await texts_in(root)).toEqual(["one", "two", "three"]);
    expect(tree(source)).toEqual(before);
    expect(await texts_in(source)).toEqual(["one", "two"]);
  },
);

test.runIf(is_there("FUSE"))(
  "rule 37.2: on exFAT an id that is alike conflicts with the session that is there",
  async () => {
    const { root, unmount } = exfat();
    onTestFinished(unmount);
    await new FileSessionStore(root).save("Work", [message("one")]);
    await new FileSessionStore(root).save("\u00c9", [message("two")]);
    for (const store of [new FileSessionStore(root), new FileSessionStore(root)]) {
      await require_conflicts(store, "work", "Work");
      await require_conflicts(store, "\u00e9", "\u00c9");
    }
    await append(new FileSessionStore(root), ["three"], "Work");
    const store = new FileSessionStore(root);
    expect(texts_of((await loaded(store, "Work")).messages)).toEqual(["one", "three"]);
    expect((await store.list()).map(({ id }) => id).sort()).toEqual(["Work", "\u00c9"]);
  },
);

test.runIf(is_there("FUSE"))("rule 45.6: exFAT and mounts tell what they offer", async () => {
  const offered = async ({ root, unmount }: ReturnType<typeof bound>) => {
    onTestFinished(unmount);
    return new FileSessionStore(root).file_system();
  };
  const on_linux = { lock: "symlink", hard_links: true, directory_sync: true, modes: true, case_sensitive: true };
  const on_exfat = { lock: "file", hard_links: false, directory_sync: true, modes: false, case_sensitive: false };
  expect(await offered(exfat())).toEqual(on_exfat);
  expect(await offered(bound("--resolve-symlinks"))).toEqual({ ...on_linux, lock: "file" });
  const without_modes = bound("--chmod-deny", "--create-with-perms=a+rw");
  expect(await offered(without_modes)).toEqual({ ...on_linux, modes: false });
  const read_only = bound("-r");
  fs.mkdirSync(read_only.source ?? "");
  await new FileSessionStore(read_only.source ?? "").save("s", [message("one")]);
  expect(await outcome_of(offered(read_only))).toBe("storage");
});

test.runIf(is_there("FUSE"))("rule 37.1: on exFAT an id that it refuses as a name is invalid", async () => {
  const { root, unmount } = exfat();
  onTestFinished(unmount);
  const store = new FileSessionStore(root);
  for (const id of ["*", "a?b", "a:b", '"', "a|b", "<"]) {
    expect([id, await outcome_of(store.save(id, []))]).toEqual([id, "invalid_id"]);
    expect(await store.load(id)).toBeUndefined();
    await store.save("s", [message("one")], { parent_id: id });
  }
  expect(tree(root)).toEqual(["s.json"]);
});
