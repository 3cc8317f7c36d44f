import fs from "node:fs";
import { join } from "node:path";
import { SessionManager } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../../stores/helpers.js";
import { texts_in, tree } from "../../stores/file/files.js";
import { PlainConversation } from "../../support/plain-conversation.js";
import {
  DATA,
  expect_usable,
  FORMATS,
  HEAD,
  look,
  open,
  session,
  type Format,
} from "../../stores/file/damaged/files.js";

/** A session as another writer lays it out: the text of the metadata, and of each message. */
function write_foreign(format: Format, root: string, metadata: string, messages: string[]): void {
  if (format === "json") {
    fs.writeFileSync(join(root, "s.json"), `{"metadata":${metadata},"messages":[${messages.join()}]}`);
  } else {
    fs.writeFileSync(join(root, "s.meta.json"), metadata);
    fs.writeFileSync(join(root, "s.ndjson"), messages.map((text) => `${text}\n`).join(""));
  }
}

const BINARY = Buffer.from(Array.from({ length: 3000 }, (_, n) => (n * 7919) % 256));

/** Other contents of the file with a session's metadata. */
const HEADS: [string, Buffer | string][] = [
  ["nothing", ""],
  ["a byte order mark", "\ufeff"],
  ["two byte order marks", '\ufeff\ufeff{"metadata":{},"messages":[]}'],
  ["empty lines", "\n\n"],
  ["a list", "[]"],
  ["null", "null"],
  ["a number", "5"],
  ["binary", BINARY],
  ["half of itself", '{"metadata":{"id":"s"},"mess'],
];

/** A `.json` file with one of these was never a session. */
const NO_SESSIONS: ReadonlySet<string> = new Set(["a list", "null", "a number"]);

const WHOLE_FILES: [string, string][] = [
  ["no metadata", '{"messages":[]}'],
  ["metadata that are null", '{"metadata":null,"messages":[]}'],
  ["metadata that are a list", '{"metadata":[],"messages":[]}'],
  ["no messages", '{"metadata":{}}'],
  ["messages that are an object", '{"metadata":{},"messages":{"length":0}}'],
  ["messages that are a text", '{"metadata":{},"messages":"[]"}'],
  ["a message that is null", '{"metadata":{},"messages":[null]}'],
  ["a message that is a list", '{"metadata":{},"messages":[[]]}'],
];

/** Other contents of the file of lines. */
const LINES: [string, Buffer | string][] = [
  ["a list", "[]\n"],
  ["null", "null\n"],
  ["a number", "5\n"],
  ["binary", BINARY],
  ["half a line", '{"role":"user","conte'],
  ["two messages in a line", "{},{}\n"],
  ["a line that closes a bracket", "{}],[{}\n"],
];

describe.each(FORMATS)("%s", (format) => {
  const cases = [
    ...HEADS.map(([what, bytes]): [string, string, Buffer | string] => [what, HEAD[format], bytes]),
    ...(format === "json" ? WHOLE_FILES : LINES).map(([what, bytes]): [string, string, Buffer | string] => [
      what,
      DATA[format],
      bytes,
    ]),
  ];

  describe.each(cases)("with %s in %s", (what, name, bytes) => {
    test.each(["ours", "another's"])(
      "rule 36: a session that was %s is damaged, and what it was is kept",
      async (whose) => {
        const root = whose === "ours" ? (await session(format)).root : quick_directory();
        if (whose !== "ours") {
          write_foreign(format, root, '{"label":"L"}', [JSON.stringify(message("one"))]);
        }
        fs.writeFileSync(join(root, name), bytes);
        const before = look(root);
        const damaged = tree(root).map((file) => fs.readFileSync(join(root, file), "latin1"));
        const store = open(root, format);
        await expect(store.load("s")).rejects.toMatchObject({
          code: "corrupt",
          session_id: "s",
          path: join(root, name),
        });
        const [entry] = await store.list();
        const was_none = format === "json" && NO_SESSIONS.has(what);
        if (was_none) {
          expect(entry).toBeUndefined();
        } else if (whose !== "ours" || name === HEAD[format]) {
          expect(entry).toMatchObject({ id: "s", message_count: 0, damaged: expect.any(String) as string });
        } // of ours, a list reads no messages
        expect((await store.verify()).map(({ code }) => code)).toEqual([was_none ? "not_a_session" : "corrupt"]);
        for (const change of [
          store.append("s", [message("x")], { revision: "x" }),
          store.replace("s", [], { revision: null }),
          store.update("s", { label: "M" }),
        ]) {
          expect(["corrupt", "conflict"]).toContain(await outcome_of(change)); // a head alone does not show all damage
        }
        expect(look(root)).toEqual(before);
        await store.save("s", [message("saved")]);
        expect(await texts_in(root)).toEqual(["saved"]);
        const aside = tree(root).filter((file) => file.includes(".corrupt-"));
        const kept = aside.map((file) => fs.readFileSync(join(root, file), "latin1"));
        expect(kept.sort()).toEqual(damaged.sort());
      },
    );
  });

  test("rule 40: a byte order mark, no dates and an id that lies are read as they are", async () => {
    const root = quick_directory();
    write_foreign(format, root, '{"id":"another"}', [JSON.stringify(message("one"))]);
    for (const name of fs.readdirSync(root)) {
      fs.writeFileSync(join(root, name), `\ufeff${fs.readFileSync(join(root, name), "utf8")}`);
    }
    expect(await open(root, format).list()).toMatchObject([{ id: "s", message_count: 1 }]);
    await expect_usable(root, ["one"], format);
  });

  describe.each([
    ["a message", "{}", `{"role":"user","content":[],"deep":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
    ["metadata", `{"custom":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}}`, JSON.stringify(message("one"))],
  ])("with %s 100,000 levels deep in a file of another writer", (what, metadata, text) => {
    function deep(): string {
      const root = quick_directory();
      write_foreign(format, root, metadata, [text]);
      return root;
    }

    test("rule 36: it is damage, or can be gone on with", async () => {
      const root = deep();
      const store = open(root, format);
      const outcome = await outcome_of(store.load("s"));
      expect(["corrupt", "done"]).toContain(outcome);
      expect((await store.list())[0]?.damaged !== undefined).toBe(outcome === "corrupt");
      expect(await outcome_of(store.update("s", { label: "M" }))).toBe(outcome);
    });

    test("rule 36: save and repair make it a session, and delete removes it", async () => {
      const [saved, repaired, deleted] = [deep(), deep(), deep()];
      expect(await outcome_of(open(saved, format).save("s", [message("saved")]))).toBe("done");
      expect(await texts_in(saved)).toEqual(["saved"]);
      expect(await outcome_of(open(repaired, format).repair("s"))).toBe("done");
      expect(await outcome_of(open(repaired, format).update("s", { label: "M" }))).toBe("done");
      expect(await outcome_of(open(deleted, format).delete("s"))).toBe("done");
      expect(tree(deleted)).toEqual([]);
    });

    test(`rule 7: load() passes over ${what} that cannot be read`, async () => {
      const root = deep();
      const store = open(root, format);
      await store.save("older", [message("older")], { updated_at: "2001-01-01T00:00:00.000Z" });
      const conversation = new PlainConversation();
      using manager = new SessionManager(store, conversation);
      manager.on("lifecycle_error", () => undefined);
      await manager.load();
      expect(["older", "s"]).toContain(manager.current_session_id);
    });
  });
});

test("rule 30: what a process that was killed left of a new session of lines goes with a save in the other form", async () => {
  const root = quick_directory();
  for (const name of ["s.ndjson", "s.ndjson.next"]) {
    fs.writeFileSync(join(root, name), `${JSON.stringify(message("never acknowledged"))}\n`);
  }
  await open(root, "json").save("s", [message("saved")]);
  expect(texts_of((await loaded(open(root, "ndjson"))).messages)).toEqual(["saved"]);
  expect(tree(root)).toEqual(["s.json"]);
});
