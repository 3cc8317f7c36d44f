import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { open_plain } from "../../support/open-session.js";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../helpers.js";
import { append, tree } from "./files.js";

/** Marks that sync clients put before the ending of a file, or before all of its endings, of which there was another version. */
const MARKS = [
  " (conflicted copy 2026-01-02)",
  " (Anna's conflicted copy 2026-01-02)",
  " (Case Conflict)",
  " (1)",
  " 2",
  ".sync-conflict-20260102-101112-ABCDEFG",
  "-DESKTOP-1",
  "_conf(1)",
];
const ENDINGS: Record<FileSessionFormat, string[]> = { json: [".json"], ndjson: [".meta.json", ".ndjson"] };

/** A directory with a session, which has a journal, and copies of these of its files. */
async function with_copies(format: FileSessionFormat, copies: (name: string) => string[]): Promise<string> {
  const root = quick_directory();
  const store = new FileSessionStore(root, { format });
  await store.save("abc", [message("one"), message("two")], { label: "L" });
  await append(store, ["three"], "abc");
  for (const name of tree(root)) {
    copies(name).forEach((copy) => fs.copyFileSync(join(root, name), join(root, copy)));
  }
  return root;
}

function marked(name: string, mark: string, where: "last" | "first"): string {
  const at = where === "last" ? name.lastIndexOf(".") : name.indexOf(".");
  return name.slice(0, at) + mark + name.slice(at);
}

describe.each(MARKS)("copies that have%s in their names", (mark) => {
  describe.each(["json", "ndjson"] as FileSessionFormat[])("of a session in %s", (format) => {
    test("rule 36.2: all of them together are a session of their own", async () => {
      const root = await with_copies(format, (name) => [marked(name, mark, "first")]);
      const store = new FileSessionStore(root, { format });
      const ids = ["abc", `abc${mark}`];
      expect((await store.list()).map(({ id }) => id).sort()).toEqual(ids);
      expect((await store.verify()).filter(({ code }) => code !== "fork_link")).toEqual([]);
      await append(store, ["four"], `abc${mark}`);
      await store.flush();
      const { metadata, messages } = await loaded(new FileSessionStore(root), `abc${mark}`);
      expect([metadata.id, ...texts_of(messages)]).toEqual([`abc${mark}`, "one", "two", "three", "four"]);
      expect(texts_of((await loaded(store, "abc")).messages)).toEqual(["one", "two", "three"]);
    });

    test("rule 36.2: some of them are never listed as damage, and verify() names them", async () => {
      for (const where of ["first", "last"] as const) {
        for (const kept of [...ENDINGS[format], ".journal"]) {
          const root = await with_copies(format, (name) => (name === `abc${kept}` ? [marked(name, mark, where)] : []));
          const store = new FileSessionStore(root);
          const listed = await store.list();
          expect(listed.filter(({ damaged }) => damaged !== undefined)).toEqual([]);
          const is_whole = kept === ".json";
          expect(listed.map(({ id }) => id).sort()).toEqual(is_whole ? ["abc", `abc${mark}`] : ["abc"]);
          const problems = await store.verify();
          expect(problems.map(({ path }) => path)).toEqual(
            is_whole ? [] : [join(root, marked(`abc${kept}`, mark, where))],
          );
          expect(problems.map(({ code }) => code)).not.toContain("corrupt");
        }
      }
    });

    test("rule 36.2: half of one is not listed, is named by verify(), is damaged to load, and holds nobody up", async () => {
      const root = await with_copies(format, (name) =>
        name.endsWith(".journal") ? [] : [marked(name, mark, "first")],
      );
      const path = join(root, `abc${mark}${ENDINGS[format].at(-1)}`);
      fs.truncateSync(path, fs.statSync(path).size - 20);
      const store = new FileSessionStore(root);
      expect((await store.list()).map(({ id }) => id)).toEqual(["abc"]);
      expect((await store.verify()).map(({ code, session_id }) => [code, session_id])).toEqual([
        ["not_a_session", `abc${mark}`],
      ]);
      expect(await outcome_of(store.load(`abc${mark}`))).toBe("corrupt");
      const { manager, errors } = open_plain(store);
      await manager.load();
      expect([manager.current_session_id, errors]).toEqual(["abc", []]);
      await store.save(`abc${mark}`, [message("new")]);
      expect((await store.list()).map(({ id }) => id).sort()).toEqual(["abc", `abc${mark}`]);
    });
  });
});

test.each(["json", "ndjson"] as FileSessionFormat[])(
  "rule 36.2: a copy that was written to since is damage where it cannot be read (%s)",
  async (format) => {
    const root = await with_copies(format, (name) => [marked(name, " (1)", "first")]);
    const store = new FileSessionStore(root);
    await append(store, ["four"], "abc (1)");
    const path = join(root, `abc (1)${ENDINGS[format].at(-1)}`);
    fs.truncateSync(path, fs.statSync(path).size - 20);
    expect((await store.list()).filter(({ damaged }) => damaged !== undefined)).toMatchObject([{ id: "abc (1)" }]);
    expect((await store.verify()).map(({ code }) => code)).toEqual(["corrupt"]);
  },
);
