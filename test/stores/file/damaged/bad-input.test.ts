import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loaded, loose, message, outcome_of, quick_directory, temporary_directory } from "../../helpers.js";
import { append, publish, texts_in, tree, with_journal } from "../files.js";
import { DATA, expect_usable, FORMATS, HEAD, look, open, publish_lines, session, type Format } from "./files.js";

const BAD_IDS = [...["../x", "a/b", "a\\b", "", ".", "..", "a\u0000b", "a\nb", ".a"], ...["x".repeat(300), "x.meta"]];

function publish_as(format: Format, root: string, metadata: object): void {
  if (format === "json") {
    publish(root, "s", metadata, [message("one")]);
  } else {
    publish_lines(root, "s", metadata, JSON.stringify(message("one")));
  }
}

describe.each(FORMATS)("%s", (format) => {
  test.each(BAD_IDS)(
    "rule 37.1: neither id nor parent_id %j changes anything, with or without a journal",
    async (id) => {
      for (const at_rest of [true, false]) {
        const { root, store } = await session(format, at_rest);
        const { revision } = await loaded(store);
        const before = look(root);
        for (const by of [store, open(root, format)]) {
          const options = { revision, metadata: { parent_id: id } };
          const outcomes = [
            await outcome_of(by.repair(id)),
            await outcome_of(by.load(id)),
            await outcome_of(by.save(id, [])),
            await outcome_of(by.delete(id)),
            await outcome_of(by.flush(id)),
            await outcome_of(by.save("s", [], options.metadata)),
            await outcome_of(by.append("s", [message("x")], options)),
            await outcome_of(by.replace("s", [], options)),
            await outcome_of(by.update("s", options.metadata)),
          ];
          expect(outcomes).toEqual(outcomes.map(() => "invalid_id"));
        }
        expect(look(root)).toEqual(before);
      }
    },
  );

  test("rule 37.1: an invalid parent inside a file is no path", async () => {
    const above = quick_directory();
    const root = join(above, "root");
    fs.mkdirSync(root);
    publish_as(format, root, { id: "../lie", parent_id: "../up" });
    await expect_usable(root, ["one"], format);
    await open(root, format).update("s", { parent_id: "p" });
    await open(root, format).save("s", []);
    expect(fs.readdirSync(above)).toEqual(["root"]);
    expect(await open(root, format).delete("s")).toBe(true);
    expect(tree(root)).toEqual([]);
  });

  test("rule 37.1: a damaged file with an invalid parent is repaired inside the directory", async () => {
    const above = quick_directory();
    const root = join(above, "root");
    fs.mkdirSync(root);
    publish_as(format, root, { parent_id: "../up" });
    const path = join(root, DATA[format]);
    fs.writeFileSync(path, fs.readFileSync(path, "utf8").replace(/"one"[^]*$/, ""));
    expect(await open(root, format).repair("s")).toMatchObject({ repaired: true, messages: 0 });
    expect(fs.readdirSync(above)).toEqual(["root"]);
    expect(tree(root).filter((name) => name.endsWith("/"))).toEqual([]);
  });

  test("rule 36: a file without dates has that of the file, and keeps the first", async () => {
    const root = quick_directory();
    publish_as(format, root, { id: "another" });
    for (const name of fs.readdirSync(root)) {
      fs.utimesSync(join(root, name), 1e9, 1e9);
    }
    const date = new Date(1e12).toISOString();
    const store = open(root, format);
    expect(await store.list()).toEqual([{ id: "s", created_at: date, updated_at: date, message_count: 1 }]);
    expect((await loaded(store)).metadata).toMatchObject({ id: "s", created_at: date, updated_at: date });
    await append(store, ["two"]);
    await store.flush();
    expect((await loaded(open(root, format))).metadata).toMatchObject({ id: "s", created_at: date });
  });

  test("rule 25: __proto__ is a key like any other, and reaches nothing", async () => {
    const root = quick_directory();
    const metadata = JSON.parse('{"__proto__":{"polluted":1},"custom":{"__proto__":{"polluted":2}}}') as object;
    const store = open(root, format);
    await store.save("s", [message("one", metadata)], loose(metadata));
    await append(store, ["two"], "s", JSON.parse('{"__proto__":{"polluted":3}}') as object);
    for (const at_rest of [false, true]) {
      const found = await loaded(open(root, format));
      const [entry] = await open(root, format).list();
      for (const value of [found.metadata, entry]) {
        expect(JSON.stringify(value)).toContain('"__proto__":{"polluted":3}');
        expect(value).not.toHaveProperty("polluted");
      }
      expect(JSON.stringify(found.messages)).toContain('"__proto__":{"polluted":1}');
      expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
      if (!at_rest) {
        await store.flush();
      }
    }
  });

  test.each([...new Set([HEAD[format], DATA[format], "s.journal", "s.ndjson.next"])])(
    "rule 37.4: a planted link for %s is never followed, and what it leads to stays",
    async (name) => {
      const outside = temporary_directory();
      await with_journal(outside);
      const other = open(outside, "ndjson");
      await other.save("lines", [message("one"), message("outside")], { label: "outside" });
      const target = name.endsWith("json") ? (name === "s.meta.json" ? "lines.meta.json" : name) : name;
      const goal = target === "s.ndjson" || target === "s.ndjson.next" ? "lines.ndjson" : target;
      const before = look(outside);
      for (const to of [join(outside, goal), join(outside, "missing"), outside]) {
        const { root, path } = await session(format, false, { parent_id: "p" });
        fs.rmSync(path(name), { force: true });
        fs.symlinkSync(to, path(name));
        const store = open(root, format);
        const is_read = name !== "s.ndjson.next";
        const is_damaged = is_read ? "corrupt" : "done";
        expect(await outcome_of(store.load("s"))).toBe(is_damaged);
        expect(JSON.stringify(await store.list())).not.toContain("outside");
        expect((await store.list())[0]?.damaged !== undefined).toBe(is_read);
        for (const change of [
          store.append("s", [message("x")], { revision: "x" }),
          store.replace("s", [], { revision: "x" }),
          store.update("s", { label: "M" }),
          store.flush("s"),
        ]) {
          await outcome_of(change);
        }
        expect(look(outside)).toEqual(before);
        expect(await outcome_of(store.repair("s"))).toBe("done");
        expect(await outcome_of(store.save("s", [message("saved")]))).toBe("done");
        expect(await texts_in(root)).toEqual(["saved"]);
        fs.rmSync(path(name), { force: true });
        fs.symlinkSync(to, path(name));
        expect(await outcome_of(store.delete("s"))).toBe("done");
        expect(await store.load("s")).toBeUndefined();
        expect(look(outside)).toEqual(before);
      }
    },
  );

  test("rule 37.4: a planted link for the folder of forks is never followed", async () => {
    const outside = temporary_directory();
    fs.writeFileSync(join(outside, DATA[format]), "outside");
    const before = look(outside);
    const { root, path } = await session(format);
    fs.symlinkSync(outside, path("p-forks"));
    const store = open(root, format);
    expect(await store.update("s", { parent_id: "p" })).toBe(true);
    await append(store, ["four"]);
    await store.flush();
    await store.verify();
    await store.save("s", [message("saved")]);
    fs.writeFileSync(path(DATA[format]), "?");
    await store.repair("s");
    await store.save("s", [message("saved")], { parent_id: "p" });
    expect(await texts_in(root)).toEqual(["saved"]);
    expect(await store.delete("s")).toBe(true);
    expect(look(outside)).toEqual(before);
  });

  test("rule 25: what JSON cannot hold is refused, and nothing changes", async () => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    for (const at_rest of [true, false]) {
      const { root, store } = await session(format, at_rest);
      const { revision } = await loaded(store);
      const before = look(root);
      for (const bad of [
        cycle,
        1n,
        {
          toJSON: () => {
            throw new Error("no");
          },
        },
      ]) {
        const messages = [message("x", { bad })];
        const metadata = loose({ custom: { bad } });
        const outcomes = [
          await outcome_of(store.save("s", messages)),
          await outcome_of(store.append("s", messages, { revision })),
          await outcome_of(store.replace("s", messages, { revision })),
          await outcome_of(store.save("new", messages)),
          await outcome_of(store.save("s", [], metadata)),
          await outcome_of(store.append("s", [], { revision, metadata })),
          await outcome_of(store.replace("s", [], { revision, metadata })),
          await outcome_of(store.update("s", metadata)),
        ];
        expect(outcomes).toEqual(outcomes.map(() => "invalid_input"));
      }
      expect(look(root)).toEqual(before);
      await expect_usable(root, ["one", "two", "three"], format);
    }
  });
});
