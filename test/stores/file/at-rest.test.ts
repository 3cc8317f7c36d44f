import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { loaded, loose, message, temporary_directory, texts_of } from "../helpers.js";
import { append, inode, parsed, texts_in, tree } from "./files.js";
import { HookedLayer, system_error } from "./hooked-layer.js";

test("rule 30: a session at rest is one file, whatever was done to it", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root);
  const at_rest = (...names: string[]) => expect(tree(root)).toEqual(names);
  await store.save("s", [message("one")]);
  at_rest("s.json");
  await store.update("s", { label: "L" });
  at_rest("s.json");
  await append(store, ["two"]);
  at_rest("s.journal", "s.json");
  await store.update("s", { label: "M" });
  at_rest("s.journal", "s.json");
  await store.flush("s");
  at_rest("s.json");
  await append(store, ["three"]);
  await store.flush();
  at_rest("s.json");
  await append(store, ["four"]);
  await store.replace("s", [message("five")], { revision: (await loaded(store)).revision });
  at_rest("s.json");
  await append(store, ["six"]);
  await store.save("s", [message("seven")]);
  at_rest("s.json");
  await append(store, ["eight"]);
  await store.delete("s");
  at_rest();
});

test("rule 30: the file holds metadata, store and messages, in this order", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root);
  const check = (count: number) => {
    const value = parsed(root);
    expect(Object.keys(value)).toEqual(["metadata", "store", "messages"]);
    expect(value.messages).toHaveLength(count);
    expect(value.metadata["message_count"]).toBe(count);
  };
  await store.save("s", []);
  check(0);
  await store.save("s", [message("one")], { label: "L" });
  check(1);
  await append(store, ["two", "three"]);
  check(1);
  await store.flush("s");
  check(3);
  await store.update("s", { label: "M" });
  check(3);
});

test("rule 30: a fork's link leads to its own file after every change that is at rest", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root);
  const linked = (parent: string) => {
    expect(tree(root).filter((name) => name.includes("-forks"))).toEqual([
      `${parent}-forks/`,
      `${parent}-forks/s.json`,
    ]);
    expect(inode(root, `${parent}-forks`, "s.json")).toBe(inode(root, "s.json"));
  };
  await store.save("s", [message("one")], { parent_id: "p" });
  linked("p");
  await store.save("s", [message("two")]);
  linked("p");
  await append(store, ["three"]);
  linked("p");
  await store.flush();
  linked("p");
  await store.update("s", { label: "L" });
  linked("p");
  await store.update("s", { parent_id: "q" });
  linked("q");
  await append(store, ["four"]);
  await store.update("s", { parent_id: "r" });
  linked("r");
  await append(store, ["five"], "s", { parent_id: "p" });
  linked("p");
  await store.flush();
  linked("p");
  await store.replace("s", [], {
    revision: (await loaded(store)).revision,
    metadata: { parent_id: "q", detached: true },
  });
  linked("q");
  await store.update("s", loose({ parent_id: null }));
  expect(tree(root)).toEqual(["s.json"]);
});

test("rule 30: forks of one parent share its folder, which goes with the last of them", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root);
  for (const id of ["a", "b", "c"]) {
    await store.save(id, [message(id)], { parent_id: "p" });
  }
  await append(store, ["more"], "b");
  await store.delete("a");
  await store.update("b", { parent_id: "a" });
  expect(tree(root)).toEqual([
    "a-forks/",
    "a-forks/b.json",
    "b.journal",
    "b.json",
    "c.json",
    "p-forks/",
    "p-forks/c.json",
  ]);
  await store.delete("b");
  await store.delete("c");
  expect(tree(root)).toEqual([]);
});

test("rule 30: a session can be its own parent, and a link is no session", async () => {
  const root = temporary_directory();
  const store = new FileSessionStore(root);
  await store.save("s", [], { parent_id: "s" });
  await store.save("s-forks", [], { parent_id: "s" });
  expect((await store.list()).map(({ id }) => id).sort()).toEqual(["s", "s-forks"]);
  await store.delete("s");
  await store.delete("s-forks");
  expect(tree(root)).toEqual([]);
});

test.each(["EPERM", "EXDEV", "EMLINK", "ENOTSUP"])(
  "rule 30: where links answer %s the store works without",
  async (code) => {
    const root = temporary_directory();
    await new FileSessionStore(root).save("s", [message("old")], { parent_id: "p" });
    const layer = new HookedLayer(({ name }) => {
      if (name === "link") {
        throw system_error(code);
      }
    });
    const store = new FileSessionStore(root, {}, layer);
    await store.save("s", [message("one")]);
    await append(store, ["two"], "s", { parent_id: "q" });
    await store.flush();
    expect(await texts_in(root)).toEqual(["one", "two"]);
    expect(tree(root).filter((name) => !name.endsWith("/"))).toEqual(["s.json"]);
    await store.delete("s");
    expect(tree(root).filter((name) => !name.endsWith("/"))).toEqual([]);
    expect(layer.closed).toBe(layer.opened);
  },
);

test("rule 30: a flush covers what was asked for before it", async () => {
  for (const flush of [(store: FileSessionStore) => store.flush("s"), (store: FileSessionStore) => store.flush()]) {
    const root = temporary_directory();
    const store = new FileSessionStore(root);
    await store.save("s", [message("one")]);
    const { revision } = await loaded(store);
    await Promise.all([store.append("s", [message("two")], { revision }), flush(store)]);
    expect(tree(root)).toEqual(["s.json"]);
    expect(parsed(root).messages).toHaveLength(2);
  }
});

test("rule 30: directories are made as they are needed", async () => {
  const above = temporary_directory();
  const root = `${above}/a/b c/ü`;
  const store = new FileSessionStore(root);
  expect(await store.list()).toEqual([]);
  expect(tree(above)).toEqual([]);
  await store.save("s", []);
  expect(tree(root)).toEqual(["s.json"]);
});

test.each(["json", "ndjson"] as const)(
  "rule 30: a save over a fold that was cut short brings no old history back, wherever the save is cut off (%s)",
  async (format) => {
    for (let n = 1, is_done = false; !is_done; n += 1) {
      const root = temporary_directory();
      const store = new FileSessionStore(root, { format });
      await store.save("s", [message("one")]);
      await append(store, ["two"]);
      const journal = fs.readFileSync(join(root, "s.journal"));
      await store.flush();
      fs.writeFileSync(join(root, "s.journal"), journal); // the fold was killed before it removed this
      const layer = new HookedLayer((operation) => {
        if (operation.n >= n) {
          throw system_error("EIO");
        }
      });
      await new FileSessionStore(root, { format }, layer).save("s", [message("new")]).then(
        () => (is_done = true),
        () => undefined,
      );
      fs.rmSync(join(root, "s.lock"), { force: true });
      const next = new FileSessionStore(root, { format });
      await append(next, ["last"]);
      await next.flush();
      expect([
        ["one", "two", "last"],
        ["new", "last"],
      ]).toContainEqual(texts_of((await loaded(next)).messages));
      expect((await next.list()).map(({ id }) => id)).toEqual(["s"]);
    }
  },
);
