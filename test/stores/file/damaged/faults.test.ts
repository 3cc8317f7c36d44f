import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../../helpers.js";
import { append, content, texts_in, tree } from "../files.js";
import { expect_usable, FORMATS, open, session } from "./files.js";

const is_root = process.getuid?.() === 0;

/** A disk of 256 KiB, or nothing where this process may not mount one. */
function small_disk(): string | undefined {
  const path = quick_directory();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", path], { stdio: "ignore" });
  } catch (error) {
    return error instanceof Error ? undefined : path;
  }
  onTestFinished(() => void execFileSync("umount", [path]));
  return path;
}

describe.each(FORMATS)("%s", (format) => {
  test.runIf(is_root)("rule 41: a full disk costs nothing that was acknowledged", async (context) => {
    const root = small_disk();
    if (root === undefined) {
      return context.skip("no small disk can be mounted here");
    }
    const store = open(root, format);
    await store.save("s", [message("one")]);
    await append(store, ["two"]);
    const filler = join(root, "filler");
    for (const at_rest of [false, true]) {
      const before = await content(root);
      const { revision } = await loaded(store);
      const big = [message("x".repeat(400_000))];
      const full = async () => [
        await outcome_of(store.append("s", big, { revision })),
        await outcome_of(store.save("s", big)),
        await outcome_of(store.replace("s", big, { revision })),
        await outcome_of(store.save("new", big)),
      ];
      expect(await full()).toEqual(Array(4).fill("storage"));
      expect(await content(root)).toBe(before);
      expect(await store.load("new")).toBeUndefined();
      const error: unknown = await store.save("s", big).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "storage", session_id: "s", cause: { code: "ENOSPC" } });
      fill(filler);
      const outcomes = [await outcome_of(store.save("s", [message("y")])), await outcome_of(store.flush("s"))];
      expect(outcomes[0]).toBe("storage");
      expect(await content(root)).toBe(before);
      fs.rmSync(filler);
      await append(store, ["after"]);
      expect(texts_of((await loaded(open(root, format))).messages).at(-1)).toBe("after");
      await (at_rest ? store.save("s", [message("last")]) : store.flush());
    }
    expect(await texts_in(root)).toEqual(["last"]);
    expect(tree(root)).toEqual(format === "json" ? ["s.json"] : ["s.meta.json", "s.ndjson"]);
    await expect_usable(root, ["last"], format);
  });

  test("rule 41: a directory without permission costs nothing that was acknowledged", async () => {
    const { root, store } = await session(format, false);
    const { revision } = await loaded(store);
    const before = fs.readdirSync(root);
    const allow = forbid_writing(root);
    onTestFinished(allow);
    const fresh = open(root, format);
    for (const by of [store, fresh]) {
      const outcomes = [
        await outcome_of(by.save("s", [])),
        await outcome_of(by.append("s", [message("x")], { revision })),
        await outcome_of(by.replace("s", [], { revision })),
        await outcome_of(by.update("s", { label: "M" })),
        await outcome_of(by.flush("s")),
        await outcome_of(by.delete("s")),
        await outcome_of(by.save("new", [])),
      ];
      expect(outcomes).toEqual(outcomes.map(() => "storage"));
      expect(texts_of((await loaded(by)).messages)).toEqual(["one", "two", "three"]);
    }
    allow();
    expect(fs.readdirSync(root)).toEqual(before);
    await expect_usable(root, ["one", "two", "three"], format);
  });
});

/** Takes all that is left of a disk. */
function fill(path: string): void {
  for (const size of [65_536, 4096, 1]) {
    try {
      for (;;) {
        fs.appendFileSync(path, Buffer.alloc(size));
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
  }
}

const NOBODY = 65_534;

/** Takes the permission to write away. Root has every permission, so it works as somebody else until then. */
function forbid_writing(root: string): () => void {
  fs.chmodSync(root, 0o555);
  if (is_root) {
    for (const name of fs.readdirSync(root)) {
      fs.chmodSync(join(root, name), 0o644);
    }
    process.seteuid?.(NOBODY);
  }
  return () => {
    if (is_root) {
      process.seteuid?.(0);
    }
    fs.chmodSync(root, 0o700);
  };
}
