import fs from "node:fs";
import { join } from "node:path";
import type { FileSessionProblem } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { message, quick_directory } from "../../helpers.js";
import { append, publish } from "../files.js";
import { DATA, FORMATS, HEAD, look, open, publish_lines, session } from "./files.js";

type Made = Awaited<ReturnType<typeof session>>;
type Expected = Pick<FileSessionProblem, "code" | "session_id"> & { file: string };

const s = { session_id: "s" };

describe.each(FORMATS)("%s", (format) => {
  const cases: [string, (made: Made) => unknown, Expected[]][] = [
    [
      "a message that was changed",
      ({ change }) => change(DATA[format], (bytes) => bytes.toString().replace("two", "TWO")),
      [{ code: "corrupt", file: DATA[format], ...s }],
    ],
    [
      "metadata that were changed",
      ({ change }) => change(HEAD[format], (bytes) => bytes.toString().replace('"L"', '"M"')),
      [{ code: "corrupt", file: HEAD[format], ...s }],
    ],
    [
      "a head that is a link",
      ({ path }) => {
        fs.rmSync(path(HEAD[format]));
        fs.symlinkSync("nowhere", path(HEAD[format]));
      },
      [{ code: "corrupt", file: HEAD[format], ...s }],
    ],
    [
      "a damaged journal",
      async ({ store, change }) => {
        await append(store, ["four"]);
        await append(store, ["five"]);
        change("s.journal", (bytes) => bytes.toString().replace("four", "FOUR"));
      },
      [{ code: "corrupt", file: "s.journal", ...s }],
    ],
    [
      "a journal whose snapshot another writer replaced",
      async ({ root, store }) => {
        await append(store, ["four"]);
        if (format === "json") {
          publish(root, "s", {}, [message("theirs")]);
        } else {
          publish_lines(root, "s", {}, JSON.stringify(message("theirs")));
        }
      },
      [{ code: "foreign_journal", file: "s.journal", ...s }],
    ],
    [
      "a torn journal",
      async ({ store, change }) => {
        await append(store, ["four"]);
        change("s.journal", (bytes) => Buffer.concat([bytes, Buffer.from('{"role":"us')]));
      },
      [{ code: "torn_journal", file: "s.journal", ...s }],
    ],
    [
      "a journal without a session",
      ({ path }) => fs.writeFileSync(path("gone.journal"), "x"),
      [{ code: "orphaned_journal", file: "gone.journal", session_id: "gone" }],
    ],
    [
      "both forms of one session",
      ({ root }) =>
        format === "json" ? publish_lines(root, "s", {}, "") : publish(root, "s", {}, [message("theirs")]),
      [{ code: "two_formats", file: "s.json", ...s }],
    ],
    [
      "a fork that its parent's folder lacks",
      async ({ store, path }) => {
        await store.update("s", { parent_id: "p" });
        await store.flush();
        fs.rmSync(path("p-forks"), { recursive: true });
      },
      [{ code: "fork_link", file: `p-forks/${DATA[format]}`, ...s }],
    ],
    [
      "a link to an older file of a fork",
      async ({ store, path }) => {
        await store.update("s", { parent_id: "p" });
        await store.flush();
        fs.rmSync(path(`p-forks/${DATA[format]}`));
        fs.copyFileSync(path(DATA[format]), path(`p-forks/${DATA[format]}`));
      },
      [{ code: "fork_link", file: `p-forks/${DATA[format]}`, ...s }],
    ],
    [
      "a link to a fork in the folder of another parent",
      ({ path }) => {
        fs.mkdirSync(path("q-forks"));
        fs.linkSync(path(DATA[format]), path(`q-forks/${DATA[format]}`));
      },
      [{ code: "fork_link", file: `q-forks/${DATA[format]}`, ...s }],
    ],
    [
      "what was kept for a person",
      ({ path }) => {
        fs.writeFileSync(path("s.json.corrupt-20240101T000000000Z"), "x");
        fs.writeFileSync(path("s.journal.conflict-20240101T000000000Z-2"), "x");
      },
      [
        { code: "set_aside", file: "s.journal.conflict-20240101T000000000Z-2" },
        { code: "set_aside", file: "s.json.corrupt-20240101T000000000Z" },
      ],
    ],
    [
      "what a killed writer left",
      ({ path }) => {
        fs.writeFileSync(path("s.0123456789ab.tmp"), "x");
        fs.writeFileSync(path("other.ndjson.next"), "x");
        fs.symlinkSync("1-0.x", path("s.lock"));
      },
      ["other.ndjson.next", "s.0123456789ab.tmp", "s.lock"].map((file) => ({ code: "leftover" as const, file })),
    ],
  ];

  test.each(cases)("rule 42: verify reports %s, and changes nothing", async (_, make, expected) => {
    const made = await session(format);
    await made.store.save("fine", [message("fine")], { parent_id: "s" });
    expect(await made.store.verify()).toEqual([]);
    await make(made);
    const before = look(made.root);
    for (const reader of FORMATS) {
      const problems = await open(made.root, reader).verify();
      const order = (a: FileSessionProblem, b: FileSessionProblem) => (a.path < b.path ? -1 : 1);
      const found = problems.sort(order).map(({ message: _text, ...rest }) => rest);
      expect(found).toEqual(expected.map(({ file, ...rest }) => ({ ...rest, path: join(made.root, file) })));
      expect(problems.every((problem) => problem.message.length > 10)).toBe(true);
    }
    expect(look(made.root)).toEqual(before);
  });

  test("rule 42: verify finds nothing in a clean directory, an empty one, and one that is not there", async () => {
    const { root, store } = await session(format, false, { parent_id: "p" });
    await append(store, ["four"]);
    const before = look(root);
    expect(await store.verify()).toEqual([]);
    expect(look(root)).toEqual(before);
    expect(await open(quick_directory(), format).verify()).toEqual([]);
    const missing = join(quick_directory(), "missing");
    expect(await open(missing, format).verify()).toEqual([]);
    expect(fs.existsSync(missing)).toBe(false);
  });
});

test("rule 42: verify reports messages whose metadata are gone", async () => {
  const { root, store, path } = await session("ndjson");
  fs.rmSync(path("s.meta.json"));
  expect(await store.load("s")).toBeUndefined();
  expect((await open(root, "json").verify()).map((problem) => problem.path)).toEqual([path("s.ndjson")]);
});
