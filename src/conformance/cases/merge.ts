import { sleep } from "../../async/timers.js";
import { InMemorySessionStore } from "../../stores/in-memory-session-store.js";
import type { SessionMetadata } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check, check_same, listed, loaded, messages, new_id, seeded, type Capable } from "../check.js";
import { metadata_of, needs_of, start_write, WAYS, ways_of, write_by, type Way, type Written } from "./ways.js";

const group = "metadata merge";

const OLD = "2020-01-01T00:00:00.000Z";
const NEWER = "2021-01-01T00:00:00.000Z";

/** Parsed, so that `__proto__` is a key. */
const HOSTILE = '{"__proto__":{"polluted":1}}';

function is_now(date: unknown, before: string): boolean {
  return typeof date === "string" && date >= before && date <= new Date().toISOString();
}

/** The merge rule, in one of the ways to write metadata. */
const merge_cases = (way: Way): ConformanceCase[] => {
  const needs = needs_of(way);
  const write = async (store: Capable, id: string, metadata?: object): Promise<Written> => {
    await write_by(store, way, id, metadata);
    return metadata_of(store, id);
  };
  return [
    {
      group,
      name: `${way} keeps what it is not given, keys that nobody knows too`,
      needs,
      async run({ store }) {
        const id = new_id();
        const kept = { label: "l", custom: { a: [1, null] }, unheard_of: { b: "x" }, detached: false, created_at: OLD };
        await store.save(id, messages("one"), kept);
        await write(store as Capable, id, { model: "m" });
        const { label, custom, unheard_of, detached, created_at, model } = await write(store as Capable, id);
        check_same({ label, custom, unheard_of, detached, created_at, model }, { ...kept, model: "m" }, "metadata");
      },
    },
    {
      group,
      name: `${way} replaces a value as a whole, and null inside of it is a value`,
      needs,
      async run({ store }) {
        const id = new_id();
        await store.save(id, messages("one"), { custom: { a: 1, b: 2 }, detached: true });
        const { custom, detached } = await write(store as Capable, id, { custom: { b: null }, detached: false });
        check_same([custom, detached], [{ b: null }, false], "custom and detached");
      },
    },
    {
      group,
      name: `${way}: undefined changes nothing, null removes a key`,
      needs,
      async run({ store }) {
        const id = new_id();
        await store.save(id, [], { label: "l", model: "m", provider: "p" });
        const metadata = await write(store as Capable, id, { label: undefined, model: null });
        check_same([metadata.label, metadata.provider], ["l", "p"], "label and provider");
        check(!("model" in metadata), "a key that was removed is still there");
      },
    },
    {
      group,
      name: `${way}: an auto label never replaces a user's, and kind is written once`,
      needs,
      async run({ store }) {
        const id = new_id();
        await store.save(id, [], { label: "a", label_source: "auto", kind: "fork" });
        const label_after = async (given: object) => {
          const { label, label_source, kind } = await write(store as Capable, id, given);
          return [label, label_source, kind];
        };
        check_same(await label_after({ label: "b", label_source: "user" }), ["b", "user", "fork"], "user over auto");
        const automatic = { label: "c", label_source: "auto", kind: "root" } as const;
        check_same(await label_after(automatic), ["b", "user", "fork"], "auto over user");
        const removing = { label: null, label_source: "auto", kind: null };
        check_same(await label_after(removing), ["b", "user", "fork"], "null, by auto, over user");
        check_same(await label_after({ label: "d", label_source: "user" }), ["d", "user", "fork"], "user over user");
      },
    },
    {
      group,
      name: `${way}: id and message_count are the store's own, and damaged is never stored`,
      needs,
      async run({ store }) {
        const id = new_id();
        const given = { id: "another", message_count: 99, damaged: "no" };
        await store.save(id, messages("one"), given);
        const metadata = await write(store as Capable, id, given);
        const count = (await loaded(store, id)).messages.length;
        check_same([metadata.id, metadata.message_count], [id, count], "id and message_count");
        check(!("damaged" in metadata), "damaged is stored");
        check_same(await store.load("another"), undefined, "the id in the metadata");
      },
    },
    {
      group,
      name: `${way} sets updated_at to now, where it is given no other`,
      needs,
      async run({ store }) {
        const id = new_id();
        await store.save(id, messages("one"), { created_at: OLD, updated_at: OLD });
        for (const given of [{ model: "m" }, {}, { created_at: null, updated_at: null }]) {
          const before = new Date().toISOString();
          await sleep(2);
          const { created_at, updated_at } = await write(store as Capable, id, given);
          check_same(created_at, OLD, "created_at");
          check(is_now(updated_at, before), `updated_at is ${String(updated_at)}, not now`);
        }
        const dates = await write(store as Capable, id, { updated_at: NEWER, created_at: NEWER });
        check_same([dates.created_at, dates.updated_at], [NEWER, NEWER], "given dates");
      },
    },
    {
      group,
      name: `${way} keeps a key such as __proto__ as a key`,
      needs,
      async run({ store }) {
        const id = new_id();
        await store.save(id, messages("one"));
        await write(store as Capable, id, JSON.parse(HOSTILE) as object);
        for (const metadata of [await metadata_of(store as Capable, id), await listed(store, id)]) {
          const found: unknown = Object.getOwnPropertyDescriptor(metadata ?? {}, "__proto__")?.value;
          check_same(found, { polluted: 1 }, "the key __proto__");
        }
        check(({} as { polluted?: number }).polluted === undefined, "Object.prototype was changed");
      },
    },
  ];
};

type Random = ReturnType<typeof seeded>;

const KEYS = ["label", "model", "custom", "unheard_of"] as const;
const VALUES = ["x", 1, null, undefined, false, "", { n: [1, { m: null }] }];

function generated_metadata(random: Random, ids: readonly string[]): Partial<SessionMetadata> {
  return {
    created_at: random.pick([OLD, NEWER]),
    updated_at: random.pick([OLD, NEWER]),
    [random.pick(KEYS)]: random.pick(VALUES),
    ...(random.below(3) === 0 && {
      label: random.pick(["mine", "other", null]),
      label_source: random.pick(["auto", "user"]),
    }),
    ...(random.below(4) === 0 && {
      kind: random.pick(["root", "fork", "child", null]),
      parent_id: random.pick([ids[0], null]),
    }),
    ...(random.below(5) === 0 && { id: "x", message_count: 99, damaged: "no", detached: random.below(2) === 0 }),
  } as Partial<SessionMetadata>;
}

export const MERGE: readonly ConformanceCase[] = [
  ...WAYS.flatMap(merge_cases),
  {
    group,
    name: "generated writes in every way, judged by the in-memory store",
    needs: ["rules"],
    async run({ store }) {
      const model = new InMemorySessionStore();
      const random = seeded(7);
      const ids = [new_id("a"), new_id("b"), new_id("c")];
      const ways = ways_of(store, WAYS);
      for (let round = 0; round < 80; round += 1) {
        const id = random.pick(ids);
        const metadata = generated_metadata(random, ids);
        const given = messages(...Array.from({ length: random.below(3) }, (_, n) => `${round} ${n}`));
        const known = await model.load(id);
        const way = known ? random.pick(ways) : "save";
        const { revision = "" } = (await store.load(id)) ?? {};
        await start_write(store as Capable, way, id, { metadata, given, revision });
        await start_write(model as unknown as Capable, way, id, { metadata, given, revision: known?.revision ?? "" });
        const [found, expected] = [await loaded(store, id), await loaded(model, id)];
        check_same([found.metadata, found.messages], [expected.metadata, expected.messages], `round ${round}, ${way}`);
        if (random.below(12) === 0) {
          check_same(await store.delete(id), await model.delete(id), `round ${round}, delete`);
        }
      }
      check_same(await store.list(), await model.list(), "list");
    },
  },
];
