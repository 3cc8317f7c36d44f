import type { Message } from "@simulacra-ai/core";
import type { ConformanceCase } from "../types.js";
import {
  check,
  check_messages,
  check_rejects,
  check_same,
  loaded,
  message,
  messages,
  new_id,
  outcome_of,
  type Capable,
} from "../check.js";
import { check_nobodys } from "./isolation.js";
import { MESSAGE_WAYS, needs_of, start_write, WAYS, ways_of, type MessageWay, type Way } from "./ways.js";

const group = "bad input";

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

const throws = {
  toJSON(): never {
    throw new Error("not today");
  },
};

/** Values that JSON cannot hold, or that have too many levels, as a part of a message or of `custom`. */
const UNSTORABLE: readonly [what: string, value: object][] = [
  ["a cycle", cyclic()],
  ["a BigInt", { big: 1n }],
  ["10,000 levels", nested(10_000)],
  ["a toJSON that throws", { throws }],
];

const NO_MESSAGES: readonly [what: string, messages: unknown][] = [
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
];

const NO_METADATA: readonly [what: string, metadata: unknown][] = [
  ["a text", "text"],
  ["a number", 5],
  ["an array", []],
  ["a function", () => ({})],
  ["a date that is a number", { created_at: 5 }],
  ["a date that is an object", { updated_at: {} }],
];

const DEPTHS = [100, 1000, 2000, 4000, 8000];

const NO_IDS = ["", null, undefined, 5, {}] as string[];

interface Write {
  what: string;
  given?: unknown;
  metadata?: unknown;
}

/** Each of these is refused, and the session stays as it was, in messages, metadata and revision. */
async function check_refused(store: Capable, way: Way, writes: readonly Write[]): Promise<void> {
  const id = new_id();
  await store.save(id, messages("one"), { label: "old" });
  const read = async () => [await loaded(store, id), await store.list()];
  const before = await read();
  const { revision = "" } = await loaded(store, id);
  for (const { what, given = [message("two")], metadata = { label: "new" } } of writes) {
    const options = { metadata: metadata as object, given: given as Message[], revision };
    await check_rejects(start_write(store, way, id, options), "invalid_input", `${way} of ${what}`);
    check_same(await read(), before, `the session after ${way} of ${what}`);
  }
  const added = message("two");
  await start_write(store, way, id, { metadata: { label: "new" }, given: [added], revision });
  const { messages: found, metadata } = await loaded(store, id);
  check_same(metadata.label, "new", "the label after a write that is right");
  check(way === "update" || found.at(-1)?.id === added.id, "a write that is right has stored nothing");
}

const message_cases = (way: MessageWay): ConformanceCase[] => [
  {
    group,
    name: `${way} of what JSON cannot hold is refused, and the session stays as it was`,
    needs: needs_of(way),
    run: ({ store }) =>
      check_refused(
        store as Capable,
        way,
        UNSTORABLE.map(([what, value]) => ({ what, given: [message("two"), message("three", value)] })),
      ),
  },
  {
    group,
    name: `${way} of messages that are none is refused, and the session stays as it was`,
    needs: needs_of(way),
    run: ({ store }) =>
      check_refused(
        store as Capable,
        way,
        // `undefined` would be the default of a parameter.
        NO_MESSAGES.map(([what, given]) => ({ what, given: given === undefined ? null : given })),
      ),
  },
];

const metadata_case = (way: Way): ConformanceCase => ({
  group,
  name: `${way} of metadata that are none is refused, and the session stays as it was`,
  needs: needs_of(way),
  run: ({ store }) =>
    check_refused(store as Capable, way, [
      ...NO_METADATA.map(([what, metadata]) => ({ what, metadata })),
      ...UNSTORABLE.map(([what, custom]) => ({ what, metadata: { custom } })),
    ]),
});

export const INPUT: readonly ConformanceCase[] = [
  ...MESSAGE_WAYS.flatMap(message_cases),
  ...WAYS.map(metadata_case),
  {
    group,
    name: "bad input creates nothing",
    needs: ["rules"],
    async run({ store }) {
      const id = new_id();
      await check_rejects(store.save(id, [null as unknown as Message]), "invalid_input", "save of a null message");
      await check_rejects(store.save(id, [], { custom: cyclic() as never }), "invalid_input", "save of a cycle");
      check_same([await store.load(id), await store.list()], [undefined, []], "load and list");
    },
  },
  {
    group,
    name: "options that are missing are refused, and the session stays as it was",
    needs: ["append", "replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("one")];
      await store.save(id, given);
      for (const way of ["append", "replace"] as const) {
        const write = (store as Capable)[way].bind(store) as (id: string, given: Message[]) => Promise<unknown>;
        await check_rejects(write(id, messages("two")), "invalid_input", `${way} without options`);
      }
      await check_messages(store, id, given, "after both");
    },
  },
  {
    group,
    name: "an id that is no text, or an empty one, is refused with invalid_id, and is nobody's",
    needs: ["rules"],
    async run({ store }) {
      const kept = new_id();
      await store.save(kept, messages("one"));
      for (const id of NO_IDS) {
        for (const way of ways_of(store, ["save", "replace"])) {
          const creating = start_write(store as Capable, way, id, { given: [], revision: null as unknown as string });
          await check_rejects(creating, "invalid_id", `${way} of the id ${String(id)}`);
        }
        await check_nobodys(store, id);
      }
      check_same(
        (await store.list()).map(({ id }) => id),
        [kept],
        "the list",
      );
    },
  },
  {
    group,
    name: "messages and metadata of any depth are refused, or come back",
    needs: ["rules"],
    async run({ store }) {
      for (const depth of DEPTHS) {
        for (const part of ["messages", "metadata"] as const) {
          const id = new_id();
          const saved =
            part === "messages"
              ? store.save(id, [message("deep", nested(depth))])
              : store.save(id, [], { custom: nested(depth) as Record<string, unknown> });
          const outcome = await outcome_of(saved);
          check(outcome === "done" || outcome === "invalid_input", `${part} of depth ${depth}: ${outcome}`);
          const is_there = (await store.load(id)) !== undefined;
          check(is_there === (outcome === "done"), `${part} of depth ${depth}: ${outcome}, and there: ${is_there}`);
          await store.list();
          await store.delete(id);
        }
      }
    },
  },
  {
    group,
    name: "what JSON leaves out is left out, and what it changes is changed",
    needs: ["rules"],
    async run({ store }) {
      const id = new_id();
      const extra = { f: () => 1, u: undefined, n: NaN, d: new Date(0), list: [undefined] };
      const given = message("one", { extra });
      const custom = { f: () => 1, kept: 1 };
      await store.save(id, [given], { custom, fn: () => 1 } as object);
      const found = await loaded(store, id);
      check_same(JSON.stringify(found.messages), JSON.stringify([given]), "messages");
      check_same(Object.keys(found.metadata.custom ?? {}), ["kept"], "the keys of custom");
      check(!("fn" in found.metadata), "a function in the metadata is stored");
    },
  },
  {
    group,
    name: "a limit that is no count is refused, 0 gives nothing, and a query that is null gives everything",
    needs: ["rules", "query"],
    async run({ store }) {
      await store.save(new_id(), []);
      for (const limit of [-1, 1.5, NaN, Infinity, "3" as unknown as number]) {
        await check_rejects(store.list({ limit }), "invalid_input", `a limit of ${String(limit)}`);
      }
      check_same(await store.list({ limit: 0 }), [], "a limit of 0");
      check_same((await store.list(null as never)).length, 1, "the sessions that null gives");
    },
  },
];
