import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { loaded, message, outcome_of, temporary_directory } from "../helpers.js";
import { append, content, texts_in, tree, with_journal } from "./files.js";

/** A directory beside the root with a healthy session and its journal; `untouched` fails where anything changed. */
async function outside() {
  const directory = temporary_directory();
  const store = await with_journal(directory, { label: "outside" });
  await store.save("empty", []);
  const look = () =>
    tree(directory).map((name) => {
      const stats = fs.lstatSync(join(directory, name));
      const text = stats.isFile() && fs.readFileSync(join(directory, name), "utf8");
      return [name, stats.mtimeMs, stats.mode, stats.nlink, stats.size, text];
    });
  const before = look();
  return { path: (name: string) => join(directory, name), untouched: () => expect(look()).toEqual(before) };
}

/** Every operation that might follow a link, one after the other; none may crash. */
async function do_everything(root: string): Promise<Record<string, string>> {
  const store = new FileSessionStore(root);
  const outcomes = {
    load: await outcome_of(store.load("s")),
    list: await outcome_of(store.list()),
    append: await outcome_of(store.append("s", [message("x")], { revision: "x" })),
    replace: await outcome_of(store.replace("s", [], { revision: "x" })),
    update: await outcome_of(store.update("s", { label: "inside" })),
    flush: await outcome_of(store.flush("s")),
    save: await outcome_of(store.save("s", [message("saved")], { parent_id: "p" })),
  };
  return outcomes;
}

test("rule 37.4: the root itself may be a symbolic link", async () => {
  const [real, links] = [temporary_directory(), temporary_directory()];
  fs.symlinkSync(real, join(links, "root"));
  const store = new FileSessionStore(join(links, "root"));
  await store.save("s", [message("one")], { parent_id: "p" });
  await append(store, ["two"]);
  await store.flush();
  expect(tree(real)).toEqual(["p-forks/", "p-forks/s.json", "s.json"]);
  expect(await texts_in(real)).toEqual(["one", "two"]);
  expect(await store.delete("s")).toBe(true);
  expect(tree(real)).toEqual([]);
});

test.each(["s.json", "missing"])(
  "rule 37.4: a session that is a symbolic link to %s is damaged, not followed",
  async (target) => {
    const { path, untouched } = await outside();
    const root = temporary_directory();
    fs.symlinkSync(path(target), join(root, "s.json"));
    const [entry] = await new FileSessionStore(root).list();
    expect(entry).toMatchObject({ id: "s", message_count: 0 });
    expect(entry?.damaged).toContain("symbolic link");
    expect(entry?.label).toBeUndefined();
    const outcomes = await do_everything(root);
    expect(outcomes).toMatchObject({
      load: "corrupt",
      append: "corrupt",
      replace: "corrupt",
      update: "corrupt",
      save: "done",
    });
    expect(await texts_in(root)).toEqual(["saved"]);
    untouched();
    expect(tree(root).filter((name) => name.endsWith("@"))).toHaveLength(1);
    fs.rmSync(join(root, "s.json"));
    fs.symlinkSync(path(target), join(root, "s.json"));
    expect(await new FileSessionStore(root).delete("s")).toBe(true);
    expect(await content(root)).toBe('"gone"');
    untouched();
  },
);

test.each(["s.journal", "missing"])(
  "rule 37.4: a journal that is a symbolic link to %s is not followed",
  async (target) => {
    const { path, untouched } = await outside();
    const root = temporary_directory();
    const store = new FileSessionStore(root);
    await store.save("s", [message("one")]);
    const { revision } = await loaded(store);
    fs.symlinkSync(path(target), join(root, "s.journal"));
    expect(await outcome_of(store.append("s", [message("two")], { revision }))).toBe("corrupt");
    expect(await outcome_of(store.flush())).toBe("corrupt");
    const outcomes = await do_everything(root);
    expect(outcomes).toMatchObject({ load: "corrupt", update: "corrupt", save: "done" });
    expect(await texts_in(root)).toEqual(["saved"]);
    untouched();
  },
);

test("rule 37.4: a temporary file that is a symbolic link is removed, not followed", async () => {
  const { path, untouched } = await outside();
  const root = temporary_directory();
  for (const name of ["s.json", "missing", "."]) {
    fs.symlinkSync(path(name), join(root, `s.0123456789a${name.length % 10}.tmp`));
  }
  await do_everything(root);
  expect(tree(root)).toEqual(["p-forks/", "p-forks/s.json", "s.json"]);
  untouched();
});

test.each([".", "s.json", "missing"])(
  "rule 37.4: a folder of forks that is a symbolic link to %s is not followed",
  async (target) => {
    const { path, untouched } = await outside();
    const root = temporary_directory();
    await new FileSessionStore(root).save("s", [message("one")]);
    fs.symlinkSync(path(target), join(root, "p-forks"));
    await do_everything(root);
    untouched();
    expect(await texts_in(root)).toEqual(["saved"]);
    const store = new FileSessionStore(root);
    await outcome_of(append(store, ["two"], "s", { parent_id: "q" }));
    await outcome_of(store.update("s", { parent_id: "p" }));
    await outcome_of(store.delete("s"));
    untouched();
    expect(tree(root).filter((name) => name !== "q-forks/")).toEqual(["p-forks@"]);
  },
);

test.each([
  ["a symbolic link", (path: string) => fs.symlinkSync(temporary_directory(), path)],
  ["a dangling link", (path: string) => fs.symlinkSync("nowhere", path)],
  ["a file", (path: string) => fs.writeFileSync(path, "")],
])("rule 30: where the folder of forks is %s the store works without links", async (_, make) => {
  const root = temporary_directory();
  make(join(root, "p-forks"));
  const store = new FileSessionStore(root);
  expect(await outcome_of(store.save("s", [message("one")], { parent_id: "p" }))).toBe("done");
  expect(await outcome_of(append(store, ["two"]))).toBe("done");
  expect(await outcome_of(store.flush())).toBe("done");
  expect(await texts_in(root)).toEqual(["one", "two"]);
  expect(await outcome_of(store.delete("s"))).toBe("done");
  expect(await content(root)).toBe('"gone"');
});

test("rule 37.4: a fork link that is a symbolic link is replaced, not followed", async () => {
  const { path, untouched } = await outside();
  const root = temporary_directory();
  fs.mkdirSync(join(root, "p-forks"));
  fs.symlinkSync(path("s.json"), join(root, "p-forks", "s.json"));
  await new FileSessionStore(root).save("s", [], { parent_id: "p" });
  expect(tree(root)).toEqual(["p-forks/", "p-forks/s.json", "s.json"]);
  untouched();
});

test.each(["s.json", "s.journal"])(
  "rule 36: a directory named %s is damage, and disturbs no other session",
  async (name) => {
    const root = temporary_directory();
    const store = await with_journal(root);
    await store.save("other", [message("fine")]);
    fs.rmSync(join(root, name));
    fs.mkdirSync(join(root, name));
    expect(await content(root)).toBe("corrupt");
    expect((await store.list()).map(({ id }) => id).sort()).toEqual(["other", "s"]);
    await store.save("s", [message("saved")]);
    expect(await texts_in(root)).toEqual(["saved"]);
    expect(await texts_in(root, "other")).toEqual(["fine"]);
  },
);

test("rule 36: a pipe in the place of a session holds nobody up", async () => {
  const root = temporary_directory();
  execFileSync("mkfifo", [join(root, "s.json")]);
  expect(await content(root)).toBe("corrupt");
  const store = new FileSessionStore(root);
  expect((await store.list())[0]?.damaged).toContain("not a regular file");
  await store.save("s", [message("saved")]);
  expect(await texts_in(root)).toEqual(["saved"]);
});
