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
  revision_of,
  seeded,
  type Capable,
} from "../check.js";

const group = "append";
const needs = ["append"] as const;

export const APPEND: readonly ConformanceCase[] = [
  {
    group,
    name: "adds at the end and merges metadata; its result is the next revision",
    needs,
    async run({ store }) {
      const [id, first, second, third] = [new_id(), messages("one"), messages("two", "three"), messages("four")];
      await store.save(id, first, { label: "kept" });
      const before = await revision_of(store, id);
      const { append } = bound(store as Capable);
      const next = await append(id, second, { revision: before, metadata: { model: "m" } });
      check(next.revision !== before, "the revision has not moved");
      check_same(await revision_of(store, id), next.revision, "the revision that load returns");
      await append(id, third, next);
      await check_messages(store, id, [...first, ...second, ...third], "after two appends");
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.model, metadata.message_count], ["kept", "m", 4], "metadata");
    },
  },
  {
    group,
    name: "at an old revision rejects with conflict, and changes nothing",
    needs,
    async run({ store }) {
      const [id, first, second] = [new_id(), messages("one"), messages("two")];
      await store.save(id, first);
      const old = await revision_of(store, id);
      const { append } = bound(store as Capable);
      await append(id, second, { revision: old });
      const metadata = { label: "mine" };
      await check_rejects(append(id, messages("mine"), { revision: old, metadata }), "conflict", "append");
      await check_messages(store, id, [...first, ...second], "after the conflict");
      check_same((await loaded(store, id)).metadata.label, undefined, "label");
    },
  },
  {
    group,
    name: "to a deleted session rejects with not_found, to one made again with conflict",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const old = await revision_of(store, id);
      await store.delete(id);
      const { append } = bound(store as Capable);
      await check_rejects(append(id, messages("mine"), { revision: old }), "not_found", "append to a deleted session");
      check_same(await store.load(id), undefined, "load");
      const given = messages("another");
      await store.save(id, given);
      await check_rejects(append(id, messages("mine"), { revision: old }), "conflict", "append to another session");
      await check_messages(store, id, given, "after the conflict");
    },
  },
  {
    group,
    name: "of nothing keeps the revision, and merges metadata",
    needs,
    async run({ store }) {
      const [id, given] = [new_id(), messages("one")];
      await store.save(id, given);
      const revision = await revision_of(store, id);
      const { append } = bound(store as Capable);
      check_same(await append(id, [], { revision }), { revision }, "the result of an append of nothing");
      const merged = await append(id, [], { revision, metadata: { label: "l" } });
      check_same(merged, { revision }, "the result of an append of nothing but metadata");
      check_same(await revision_of(store, id), revision, "the revision that load returns");
      await check_messages(store, id, given, "after an append of nothing");
      check_same((await loaded(store, id)).metadata.label, "l", "label");
      await append(id, messages("two"), { revision });
    },
  },
  {
    group,
    name: "of nothing at an old revision rejects with conflict, and changes nothing",
    needs,
    async run({ store }) {
      const [id, given] = [new_id(), messages("one")];
      await store.save(id, messages("none"));
      const old = await revision_of(store, id);
      await store.save(id, given);
      const metadata = { label: "mine" };
      await check_rejects((store as Capable).append(id, [], { revision: old, metadata }), "conflict", "append");
      check_same((await loaded(store, id)).metadata.label, undefined, "label");
      await store.delete(id);
      await check_rejects((store as Capable).append(id, [], { revision: old }), "not_found", "append to a deleted one");
    },
  },
  {
    group,
    name: "of 300 turns, flushed now and then, gives each message once and in order",
    needs,
    async run({ store }) {
      const random = seeded(3);
      const [id, all] = [new_id(), [message("first")]];
      await store.save(id, all);
      let revision = await revision_of(store, id);
      const { append } = bound(store as Capable);
      for (let turn = 0; turn < 300; turn += 1) {
        const added = messages(
          ...Array.from(
            { length: 1 + random.below(3) },
            (_, n) => `turn ${turn} ${n} ${"x".repeat(random.below(400))}`,
          ),
        );
        all.push(...added);
        ({ revision } = await append(id, added, { revision }));
        if (random.below(50) === 0) {
          await store.flush?.(id);
        }
      }
      await check_messages(store, id, all, "after 300 turns");
    },
  },
];

function bound(store: Capable): { append: Capable["append"] } {
  return { append: store.append.bind(store) };
}
