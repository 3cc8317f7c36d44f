import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { message, outcome_of, quick_directory } from "../../stores/helpers.js";
import { DATA, FORMATS, HEAD, open, session } from "../../stores/file/damaged/files.js";
import { texts_in } from "../../stores/file/files.js";
import { HookedLayer } from "../../stores/file/hooked-layer.js";

/** More than one string can hold. */
const SIZE = 540_000_000;

describe.each(FORMATS)("%s", (format) => {
  test.each([...new Set([HEAD[format], DATA[format]])])(
    "rule 36: a %s with zeros up to 540 MB is damage, which a list tells without reading it",
    async (name) => {
      const { root, path } = await session(format, false);
      const layer = new HookedLayer();
      const store = new FileSessionStore(root, { format }, layer);
      fs.truncateSync(path(name), SIZE);
      expect((await store.list())[0]?.damaged).toEqual(expect.any(String));
      expect(await outcome_of(store.load("s"))).toBe("corrupt");
      expect(await store.verify()).toMatchObject([{ code: "corrupt", session_id: "s", path: path(name) }]);
      expect([layer.opened, fs.statSync(path(name)).size]).toEqual([layer.closed, SIZE]);
      await store.save("s", [message("saved")]);
      expect(await texts_in(root)).toEqual(["saved"]);
    },
    120_000,
  );

  test("rule 34: zeros up to 540 MB behind a journal are a write that was cut short", async () => {
    const { root, path } = await session(format, false);
    fs.truncateSync(path("s.journal"), SIZE);
    expect(await texts_in(root)).toEqual(["one", "two", "three"]);
    await open(root, format).update("s", { label: "M" });
    expect(fs.statSync(path("s.journal")).size).toBeLessThan(10_000);
    expect(await texts_in(root)).toEqual(["one", "two", "three"]);
  }, 120_000);

  test("rules 30.4 and 42: a file with zeros up to 540 MB is repaired to all of its messages", async () => {
    const { root, path } = await session(format, true);
    fs.truncateSync(path(DATA[format]), SIZE);
    expect(await open(root, format).repair("s")).toMatchObject({ repaired: true, messages: 3 });
    expect(await texts_in(root)).toEqual(["one", "two", "three"]);
  }, 120_000);
});

test("rule 36: a file of 540 MB that begins like one of the published package is damage", async () => {
  const root = quick_directory();
  fs.writeFileSync(join(root, "s.json"), '{"metadata": {"label": "');
  fs.truncateSync(join(root, "s.json"), SIZE);
  const store = new FileSessionStore(root);
  expect(await outcome_of(store.load("s"))).toBe("corrupt");
  expect((await store.list())[0]?.damaged).toEqual(expect.any(String));
}, 120_000);

test("rule 30.4: a message that has more bytes than a string is refused, and nothing of it is stored", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root, { durable: false });
  const saved = store.save("s", [message("\u00e9".repeat(SIZE / 2))]);
  expect(await outcome_of(saved)).toBe("invalid_input");
  expect(fs.existsSync(join(root, "s.json"))).toBe(false);
}, 120_000);
