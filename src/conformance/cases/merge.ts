import { sleep } from "../../async/timers.js";
import type { SessionMetadata } from "../../types.js";
import { InMemorySessionStore } from "../../stores/in-memory-session-store.js";
import type { ConformanceCase } from "../types.js";
import { check, check_same, loaded, messages, new_id, seeded } from "../check.js";

const group = "metadata merge";
const needs = ["rules"] as const;

/** Metadata that the types would not let through. */
function loose(metadata: object): Partial<SessionMetadata> {
  return metadata;
}

const OLD = "2020-01-01T00:00:00.000Z";
const NEWER = "2021-01-01T00:00:00.000Z";

export const MERGE: readonly ConformanceCase[] = [
  {
    group,
    name: "undefined changes nothing, null removes a key",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, [], { label: "l", model: "m", provider: "p" });
      await store.save(id, [], loose({ label: undefined, model: null }));
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.model, metadata.provider], ["l", undefined, "p"], "label, model, provider");
      check(!("model" in metadata), "a key that was removed is still there");
    },
  },
  {
    group,
    name: "keys that nobody knows survive",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, [], loose({ unheard_of: { a: [1, null, "x"] }, detached: false }));
      await store.save(id, messages("one"), { label: "l" });
      const { metadata } = await loaded(store, id);
      check_same({ ...metadata, unheard_of: undefined }.detached, false, "detached: false");
      check_same(
        (metadata as unknown as Record<string, unknown>)["unheard_of"],
        { a: [1, null, "x"] },
        "an unknown key",
      );
    },
  },
  {
    group,
    name: "an auto label never replaces a user's, a user's replaces any",
    needs,
    async run({ store }) {
      const id = new_id();
      const label_after = async (metadata: Partial<SessionMetadata>) => {
        await store.save(id, [], metadata);
        const { label, label_source } = (await loaded(store, id)).metadata;
        return [label, label_source];
      };
      check_same(await label_after({ label: "a", label_source: "auto" }), ["a", "auto"], "auto");
      check_same(await label_after({ label: "b", label_source: "user" }), ["b", "user"], "user over auto");
      check_same(await label_after({ label: "c", label_source: "auto" }), ["b", "user"], "auto over user");
      check_same(await label_after({ label: "d", label_source: "user" }), ["d", "user"], "user over user");
    },
  },
  {
    group,
    name: "kind is written once",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, [], { kind: "fork" });
      await store.save(id, [], { kind: "root" });
      check_same((await loaded(store, id)).metadata.kind, "fork", "kind");
    },
  },
  {
    group,
    name: "id and message_count are the store's own",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"), loose({ id: "another", message_count: 99 }));
      const { metadata } = await loaded(store, id);
      check_same([metadata.id, metadata.message_count], [id, 1], "id and message_count");
      check_same(await store.load("another"), undefined, "the id in the metadata");
    },
  },
  {
    group,
    name: "given dates win; else created_at is kept and updated_at is now",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, [], { created_at: OLD, updated_at: NEWER });
      const dates = async () => {
        const { created_at, updated_at } = (await loaded(store, id)).metadata;
        return [created_at, updated_at];
      };
      check_same(await dates(), [OLD, NEWER], "given dates");
      const before = new Date().toISOString();
      await sleep(2);
      await store.save(id, []);
      const [created_at, updated_at = ""] = await dates();
      check_same(created_at, OLD, "created_at");
      check(updated_at >= before && updated_at <= new Date().toISOString(), `updated_at is ${updated_at}, not now`);
    },
  },
  {
    group,
    name: "generated saves, judged by the in-memory store",
    needs,
    async run({ store }) {
      const model = new InMemorySessionStore();
      const random = seeded(7);
      const ids = [new_id("a"), new_id("b"), new_id("c")];
      const values = ["x", 1, null, undefined, false, "", { n: [1, { m: null }] }];
      for (let round = 0; round < 80; round += 1) {
        const id = random.pick(ids);
        const given = loose({
          created_at: random.pick([OLD, NEWER]),
          updated_at: random.pick([OLD, NEWER]),
          [random.pick(["label", "model", "custom", "unheard_of"])]: random.pick(values),
          ...(random.below(3) === 0 && {
            label: random.pick(["mine", "other"]),
            label_source: random.pick(["auto", "user"]),
          }),
          ...(random.below(4) === 0 && {
            kind: random.pick(["root", "fork", "child", null]),
            parent_id: random.pick([ids[0], null]),
          }),
        });
        const all = messages(...Array.from({ length: random.below(3) }, (_, n) => `${round} ${n}`));
        await store.save(id, all, given);
        await model.save(id, all, given);
        const [found, expected] = [await loaded(store, id), await loaded(model, id)];
        check_same([found.metadata, found.messages], [expected.metadata, expected.messages], `round ${round}`);
      }
      check_same(await store.list(), await model.list(), "list");
    },
  },
];
