import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loaded, message, quick_directory, texts_of } from "../../helpers.js";
import { append, publish, texts_in, tree } from "../files.js";
import { expect_usable, FORMATS, open, publish_lines } from "./files.js";

const line = (text: string) => JSON.stringify(message(text));

describe.each(FORMATS)("a store of %s", (format) => {
  test("rule 43: sessions of both forms are read, listed and written, and each keeps its form", async () => {
    const root = quick_directory();
    await open(root, "json").save("a", [message("one")], { parent_id: "p", updated_at: "2024-01-02T00:00:00.000Z" });
    await open(root, "ndjson").save("b", [message("one")], { parent_id: "p", updated_at: "2024-01-01T00:00:00.000Z" });
    const store = open(root, format);
    expect((await store.list()).map(({ id, message_count }) => [id, message_count])).toEqual([
      ["a", 1],
      ["b", 1],
    ]);
    for (const id of ["a", "b"]) {
      await append(store, ["two"], id);
      expect(await texts_in(root, id)).toEqual(["one", "two"]);
      await store.flush(id);
      const { revision } = await loaded(store, id);
      await store.replace(id, [message("new")], { revision });
      await store.save(id, [message("new"), message("newer")], { label: "L" });
      expect(await texts_in(root, id)).toEqual(["new", "newer"]);
    }
    const files = ["a.json", "b.meta.json", "b.ndjson", "p-forks/", "p-forks/a.json", "p-forks/b.ndjson"];
    expect(tree(root)).toEqual(files);
    expect(await store.verify()).toEqual([]);
    expect([await store.delete("a"), await store.delete("b")]).toEqual([true, true]);
    expect(tree(root)).toEqual([]);
  });

  test("rule 43: of both forms of one session .meta.json counts, and delete removes both", async () => {
    const root = quick_directory();
    publish(root, "s", { label: "json", message_count: 2 }, [message("json"), message("json too")]);
    publish_lines(root, "s", { label: "lines", message_count: 1 }, `${line("lines")}\n`);
    const before = fs.readFileSync(join(root, "s.json"));
    const store = open(root, format);
    expect(await store.list()).toMatchObject([{ id: "s", label: "lines", message_count: 1 }]);
    expect(await texts_in(root)).toEqual(["lines"]);
    await append(store, ["two"]);
    await store.flush("s");
    await store.save("s", [message("saved")]);
    expect(await texts_in(root)).toEqual(["saved"]);
    expect(fs.readFileSync(join(root, "s.json")).equals(before)).toBe(true);
    expect(await store.delete("s")).toBe(true);
    expect(tree(root)).toEqual([]);
    expect(await open(root, format).load("s")).toBeUndefined();
  });

  test.each([
    ["with a final newline", `${line("one")}\n${line("two")}\n`],
    ["without a final newline", `${line("one")}\n${line("two")}`],
    ["with blank lines", `\n${line("one")}\n \n\n${line("two")}\n\n\n`],
    ["with carriage returns", `${line("one")}\r\n${line("two")}\r\n`],
  ])("rule 43: lines of another writer, %s, are read as they are and taken over", async (_, lines) => {
    for (const metadata of [{ created_at: "2024", updated_at: "2025", message_count: 2, label: "L" }, {}]) {
      const root = quick_directory();
      publish_lines(root, "s", metadata, lines);
      const store = open(root, format);
      const [entry] = await store.list();
      expect(entry).toMatchObject({ id: "s", ...metadata });
      expect((await loaded(store)).metadata).toEqual(entry);
      expect(fs.readFileSync(join(root, "s.ndjson"), "utf8")).toBe(lines);
      await expect_usable(root, ["one", "two"], format);
      expect(tree(root)).toEqual(["s.meta.json", "s.ndjson"]);
      const meta = JSON.parse(fs.readFileSync(join(root, "s.meta.json"), "utf8")) as object;
      expect(meta).toMatchObject({ id: "s", message_count: 3, ...("label" in metadata && { label: "L" }) });
      const texts = fs.readFileSync(join(root, "s.ndjson"), "utf8").trimEnd().split("\n");
      expect(texts).toEqual(["one", "two", "more"].map(line));
    }
  });

  test("rule 43: other metadata that has a store of its own, and lines appended by another writer", async () => {
    const root = quick_directory();
    publish_lines(root, "s", { label: "L", store: { anything: 1 } }, line("one"));
    const store = open(root, format);
    expect(texts_of((await loaded(store)).messages)).toEqual(["one"]);
    await append(store, ["two"]);
    fs.appendFileSync(join(root, "s.ndjson"), `\n${line("theirs")}`);
    expect(await texts_in(root)).toEqual(["one", "theirs"]);
    await append(store, ["three"]);
    expect(await texts_in(root)).toEqual(["one", "theirs", "three"]);
    const recovered = (await store.list()).find(({ id }) => id !== "s");
    expect(await texts_in(root, recovered?.id)).toEqual(["one", "two"]);
  });
});
