import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "@simulacra-ai/session";
import { afterEach, describe, expect, test, vi } from "vitest";
import { loaded, message, outcome_of, quick_directory, texts_of } from "../helpers.js";
import { append, content, publish, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

afterEach(() => {
  vi.restoreAllMocks();
});

const INVALID = [
  ...["", ".", "..", "...", ".hidden", "../up", "a/b", "/abs", "a\\b", "..\\up", "C:\\x/y"],
  ...["a\u0000b", "a\nb", "\u001f", "a\u007f", "a\u0085b", "\u009f"],
  ...["x.meta", ".meta", "a.json.meta"],
  ...["x".repeat(201), "ü".repeat(101), "\u{1f600}".repeat(51), "a\ud800", "\udc00"],
];

/** Names that only Windows does not have. */
const NOT_ON_WINDOWS = [
  ...["a.", "a ", "a. ", " ", "a..", "a<b", "a>b", "C:x", '"a"', "a|b", "what?", "*"],
  ...["con", "CON ", "Nul", "aux.txt", "com1", "LPT9.x.y", "com¹", "conin$", "CONOUT$.a", "prn"],
];

const VALID = [
  ...NOT_ON_WINDOWS,
  ...["a", "A b", "ü", "e\u0301", "日本語", "\u{1f600}", "_", "-rf", "--", "~", "$HOME", "%2e", "'", "`", "&;(x)"],
  ...["a.json", "a.journal", "a.lock", "a.0123456789ab.tmp", "a-forks", "a.json.corrupt-20240101T000000000Z"],
  ...["__proto__", "constructor", "toString", "console", "com", "com10", "nul_", "xcon", "a.metadata", "meta"],
  ...[" a", "a.b.c", "x".repeat(200), "ü".repeat(100), "\u{1f600}".repeat(50)],
];

test.each(INVALID)("rule 37.1: %j is an invalid id for every operation", (id) => require_invalid(id));

describe("on Windows", () => {
  test.each(NOT_ON_WINDOWS)("rule 37.1: %j is an invalid id for every operation", async (id) => {
    vi.spyOn(process, "platform", "get").mockReturnValue("win32");
    await require_invalid(id);
  });
});

async function require_invalid(id: string): Promise<void> {
  const outside = quick_directory();
  const root = join(outside, "root");
  const store = new FileSessionStore(root);
  await store.save("s", [message("one")]);
  const before = await content(root);
  const { revision } = await loaded(store);
  const options = { revision, metadata: { parent_id: id } };
  const outcomes = await Promise.all(
    [
      store.load(id),
      store.save(id, []),
      store.delete(id),
      store.append(id, [], { revision: "x" }),
      store.replace(id, [], { revision: null }),
      store.update(id, {}),
      store.flush(id),
      store.save("s", [], { parent_id: id }),
      store.save("new", [], { parent_id: id }),
      store.append("s", [message("x")], options),
      store.replace("s", [], options),
      store.update("s", { parent_id: id }),
    ].map(outcome_of),
  );
  expect(outcomes).toEqual(Array(12).fill("invalid_id"));
  expect(await content(root)).toBe(before);
  expect(tree(outside)).toEqual(["root/", "root/s.json"]);
}

test("rule 37.1: what is no text is an invalid id", async () => {
  const store = new FileSessionStore(quick_directory());
  for (const id of [undefined, null, 5, {}, ["s"], Symbol("s")] as unknown as string[]) {
    expect(await outcome_of(store.load(id))).toBe("invalid_id");
    expect(await outcome_of(store.save(id, []))).toBe("invalid_id");
    expect(await outcome_of(store.delete(id))).toBe("invalid_id");
  }
  expect(await outcome_of(store.save("s", [], { parent_id: 5 as unknown as string }))).toBe("invalid_id");
});

test("rule 37.1: every other id has files of its own, side by side with all others", async () => {
  const root = quick_directory();
  const store = new FileSessionStore(root);
  for (const [n, id] of VALID.entries()) {
    await store.save(id, [message(id)], { parent_id: VALID[(n + 1) % VALID.length] ?? "a" });
    await append(store, ["more"], id);
  }
  const check = async () => {
    const other = new FileSessionStore(root);
    for (const id of VALID) {
      const { messages, metadata } = await loaded(other, id);
      expect([metadata.id, ...texts_of(messages)]).toEqual([id, id, "more"]);
    }
    expect((await other.list()).map(({ id }) => id).sort()).toEqual([...VALID].sort());
  };
  await check();
  await store.flush();
  await check();
  expect(fs.readdirSync(root).filter((name) => name.endsWith(".json"))).toHaveLength(VALID.length);
  for (const id of VALID) {
    expect(await store.delete(id)).toBe(true);
    expect(await store.load(id)).toBeUndefined();
  }
  expect(tree(root)).toEqual([]);
});

test("rule 37.3: an id inside a file is ignored, and files that no id can have are none of ours", async () => {
  const root = quick_directory();
  publish(root, "s", { id: "../../other", parent_id: "../up", created_at: "2024", message_count: 0 }, [message("one")]);
  for (const name of [".hidden", "x".repeat(201), "a\nb"]) {
    publish(root, name, { id: "s" }, []);
  }
  fs.writeFileSync(join(root, ".json"), "{}");
  fs.writeFileSync(join(root, "notes.txt"), "{}");
  const store = new FileSessionStore(root);
  expect((await store.list()).map(({ id }) => id)).toEqual(["s"]);
  expect((await loaded(store)).metadata.id).toBe("s");
  const before = tree(root);
  await append(store, ["two"]);
  await store.flush();
  await store.save("s", []);
  expect(await store.delete("s")).toBe(true);
  expect(tree(root)).toEqual(before.filter((name) => name !== "s.json"));
});

test.each(["EINVAL", "EILSEQ", "ENAMETOOLONG", "ENOENT"])(
  "rule 37.1: an id that the file system refuses as a name (%s) is invalid",
  async (code) => {
    const root = quick_directory();
    const layer = new HookedLayer(({ name, path }) => {
      const is_looking = name === "stat" || name === "real_path" || name === "readlink";
      if (path.includes("*") && !(is_looking && code === "ENOENT")) {
        throw Object.assign(new Error(`${code}: name`), { code, path });
      }
    });
    const store = new FileSessionStore(root, {}, layer);
    await store.save("s", [message("one")]);
    const outcomes = [store.save("*", []), store.replace("*", [], { revision: null }), store.delete("*")];
    expect(await Promise.all(outcomes.map(outcome_of))).toEqual(Array(3).fill("invalid_id"));
    expect(await outcome_of(store.load("*"))).toBe(code === "ENOENT" ? "done" : "invalid_id");
    expect(tree(root)).toEqual(["s.json"]);
  },
);

test.each(["EINVAL", "EILSEQ", "ENAMETOOLONG"])(
  "rule 37.1: a fork whose parent's folder the file system refuses (%s) is written and deleted without one",
  async (code) => {
    const root = quick_directory();
    const layer = new HookedLayer(({ path }) => {
      if (path.includes("*")) {
        throw Object.assign(new Error(`${code}: name`), { code, path });
      }
    });
    const store = new FileSessionStore(root, {}, layer);
    await store.save("s", [message("one")], { parent_id: "*" });
    await append(store, ["two"]);
    await store.flush();
    expect(tree(root)).toEqual(["s.json"]);
    expect(await store.delete("s")).toBe(true);
    expect(tree(root)).toEqual([]);
  },
);
