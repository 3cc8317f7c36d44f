import type { Message } from "@simulacra-ai/core";
import { describe, expect, test } from "vitest";
import { type FullStore, loaded, loose, message, outcome_of, STORES } from "./helpers.js";

function nested(depth: number): object {
  let value: object = {};
  for (let n = 0; n < depth; n += 1) {
    value = { a: value };
  }
  return value;
}

function cyclic(): object {
  const value: Record<string, unknown> = {};
  value["self"] = value;
  return value;
}

const DEEP = nested(100_000);

const throws = {
  toJSON() {
    throw new Error("not today");
  },
};

/** What cannot be stored as a list of messages. */
const BAD_MESSAGES: [string, unknown][] = [
  ["null", null],
  ["undefined", undefined],
  ["an object", { length: 0 }],
  ["a text", "text"],
  ["a function", () => []],
  ["a null message", [message("ok"), null]],
  ["an undefined message", [undefined]],
  ["a hole", new Array(1)],
  ["a text for a message", ["text"]],
  ["an array for a message", [[]]],
  ["a function for a message", [() => message("x")]],
  ["a symbol for a message", [Symbol("x")]],
  ["a cycle", [message("x", cyclic())]],
  ["a BigInt", [message("x", { big: 1n })]],
  ["a depth of 100,000", [message("x", DEEP)]],
  ["a toJSON that throws", [message("x", { throws })]],
];

/** What cannot be stored as metadata. */
const BAD_METADATA: [string, unknown][] = [
  ["a text", "text"],
  ["a number", 5],
  ["an array", []],
  ["a function", () => ({})],
  ["a cycle", { custom: cyclic() }],
  ["a BigInt", { custom: { big: 1n } }],
  ["a depth of 100,000", { custom: DEEP }],
  ["a date that is a number", { created_at: 5 }],
  ["a date that is an object", { updated_at: {} }],
];

describe.each(STORES)("$name", ({ open }) => {
  async function refuses(...all: ((store: FullStore, revision: string) => Promise<unknown>)[]): Promise<void> {
    const store = open();
    await store.save("s", [message("one")], { label: "L" });
    const { revision } = await loaded(store);
    const before = JSON.stringify([await store.load("s"), await store.list()]);
    for (const what of all) {
      expect(await outcome_of(what(store, revision))).toBe("invalid_input");
      expect(JSON.stringify([await store.load("s"), await store.list()])).toBe(before);
    }
    await store.append("s", [message("two")], { revision });
    expect((await loaded(store)).messages).toHaveLength(2);
  }

  test.each(BAD_MESSAGES)(
    "rule 25: messages that are, or hold, %s are refused, and the old state stays",
    async (_, bad) => {
      const messages = bad as Message[];
      await refuses(
        (store) => store.save("s", messages, { label: "new" }),
        (store, revision) => store.append("s", messages, { revision, metadata: { label: "new" } }),
        (store, revision) => store.replace("s", messages, { revision, metadata: { label: "new" } }),
      );
    },
  );

  test.each(BAD_METADATA)(
    "rule 25: metadata that are, or hold, %s are refused, and the old state stays",
    async (_, bad) => {
      const metadata = loose(bad);
      await refuses(
        (store) => store.save("s", [], metadata),
        (store) => store.update("s", metadata),
        (store, revision) => store.append("s", [message("x")], { revision, metadata }),
        (store, revision) => store.replace("s", [], { revision, metadata }),
      );
    },
  );

  test("rule 25: bad input creates nothing", async () => {
    const store = open();
    expect(await outcome_of(store.save("s", [null as unknown as Message]))).toBe("invalid_input");
    expect(await outcome_of(store.save("s", [], loose({ custom: cyclic() })))).toBe("invalid_input");
    expect([await store.load("s"), await store.list()]).toEqual([undefined, []]);
  });

  test("rule 25: an id that is no text, or empty, is an invalid one", async () => {
    const store = open();
    for (const id of ["", null, undefined, 5, {}] as string[]) {
      expect(await outcome_of(store.save(id, [])), String(id)).toBe("invalid_id");
      expect(await outcome_of(store.replace(id, [], { revision: null })), String(id)).toBe("invalid_id");
    }
    expect(await store.list()).toEqual([]);
  });

  test.each([100, 500, 1000, 1500, 2000, 2500, 3000, 4000, 8000])(
    "rule 25: a depth of %i is refused, or comes back",
    async (depth) => {
      for (const put of [
        (store: FullStore) => store.save("s", [message("x", nested(depth))]),
        (store: FullStore) => store.save("s", [], { custom: nested(depth) as Record<string, unknown> }),
      ]) {
        const store = open();
        const result = await outcome_of(put(store));
        expect(["done", "invalid_input"]).toContain(result);
        expect(await outcome_of(store.load("s"))).toBe("done");
        expect(await outcome_of(store.list())).toBe("done");
        expect((await store.load("s")) === undefined).toBe(result !== "done");
      }
    },
  );

  test("rule 25: what JSON drops is dropped, as from a file", async () => {
    const store = open();
    const extra = { extended: { f: () => 1, u: undefined, n: NaN, d: new Date(0), list: [undefined] } };
    await store.save("s", [message("x", extra)], loose({ custom: { f: () => 1, kept: 1 }, fn: () => 1 }));
    const { messages, metadata } = await loaded(store);
    expect(messages).toEqual([message("x", { extended: { n: null, d: "1970-01-01T00:00:00.000Z", list: [null] } })]);
    expect(metadata.custom).toEqual({ kept: 1 });
    expect(metadata).not.toHaveProperty("fn");
  });

  test("rule 25: options that are missing are refused, a query that is null asks for everything", async () => {
    const store = open();
    await store.save("s", [message("one")]);
    const [append, replace] = [store.append.bind(store), store.replace.bind(store)] as ((
      id: string,
      messages: Message[],
    ) => Promise<unknown>)[];
    expect(await outcome_of(append?.("s", []) ?? Promise.resolve())).toBe("invalid_input");
    expect(await outcome_of(replace?.("s", []) ?? Promise.resolve())).toBe("invalid_input");
    expect(await store.list(null as never)).toHaveLength(1);
    expect((await loaded(store)).messages).toEqual([message("one")]);
  });
});
