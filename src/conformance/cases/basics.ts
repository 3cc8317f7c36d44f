import type { ConformanceCase } from "../types.js";
import {
  check,
  check_messages,
  check_rejects,
  check_same,
  draft,
  listed,
  loaded,
  message,
  messages,
  new_id,
  type Capable,
} from "../check.js";

const group = "basics";

export const BASICS: readonly ConformanceCase[] = [
  {
    group,
    name: "list is empty as the first call",
    run: async ({ store }) => check_same(await store.list(), [], "list of an empty store"),
  },
  {
    group,
    name: "load of a session that is not there is undefined, as the first call",
    run: async ({ store }) => check_same(await store.load(new_id()), undefined, "load"),
  },
  {
    group,
    name: "delete of a session that is not there is false, as the first call",
    run: async ({ store }) => check_same(await store.delete(new_id()), false, "delete"),
  },
  {
    group,
    name: "save as the first call, and load gives it back",
    async run({ store }) {
      const [id, given] = [new_id(), messages("one", "two")];
      await store.save(id, given, { label: "a label", provider: "p", model: "m" });
      await check_messages(store, id, given, "after save");
      const { metadata } = await loaded(store, id);
      check_same([metadata.id, metadata.message_count], [id, 2], "id and message_count");
      check_same([metadata.label, metadata.provider, metadata.model], ["a label", "p", "m"], "the given metadata");
      for (const date of [metadata.created_at, metadata.updated_at]) {
        check(typeof date === "string" && !Number.isNaN(Date.parse(date)), `${String(date)} is no ISO date`);
      }
      const entry = await listed(store, id);
      check_same({ ...entry, draft: undefined }, { ...metadata }, "the list entry");
    },
  },
  {
    group,
    name: "save without metadata, and without messages",
    async run({ store }) {
      const id = new_id();
      await store.save(id, []);
      await check_messages(store, id, [], "after save");
    },
  },
  {
    group,
    name: "save replaces all messages, and keeps the metadata that it is not given",
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one", "two", "three"), { label: "kept", custom: { deep: [1, { a: null }] } });
      const given = messages("other");
      await store.save(id, given, { model: "new" });
      await check_messages(store, id, given, "after the second save");
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.model], ["kept", "new"], "label and model");
      check_same(metadata.custom, { deep: [1, { a: null }] }, "custom");
    },
  },
  {
    group,
    name: "delete removes one session, once",
    async run({ store }) {
      const [id, other] = [new_id(), new_id()];
      await store.save(id, messages("one"));
      await store.save(other, messages("two"));
      check_same(await store.delete(id), true, "the first delete");
      check_same(await store.load(id), undefined, "load after delete");
      check_same(
        (await store.list()).map((entry) => entry.id),
        [other],
        "list after delete",
      );
      check_same(await store.delete(id), false, "the second delete");
      const again = messages("again");
      await store.save(id, again);
      await check_messages(store, id, again, "a session under the id of a deleted one");
      check_same((await loaded(store, id)).metadata.label, undefined, "its label");
    },
  },
  {
    group,
    name: "append as the first call rejects with not_found, and creates nothing",
    needs: ["append"],
    async run({ store }) {
      const id = new_id();
      await check_rejects((store as Capable).append(id, messages("one"), { revision: "r" }), "not_found", "append");
      check_same(await store.list(), [], "list");
    },
  },
  {
    group,
    name: "replace as the first call: null creates, a revision rejects with not_found",
    needs: ["replace"],
    async run({ store }) {
      const [id, missing, given] = [new_id(), new_id(), messages("one")];
      await check_rejects((store as Capable).replace(missing, given, { revision: "r" }), "not_found", "replace");
      await (store as Capable).replace(id, given, { revision: null, metadata: { label: "new" } });
      await check_messages(store, id, given, "after replace");
      check_same(
        (await store.list()).map(({ label }) => label),
        ["new"],
        "labels in the list",
      );
    },
  },
  {
    group,
    name: "update as the first call is false, and creates nothing",
    needs: ["update"],
    async run({ store }) {
      check_same(await (store as Capable).update(new_id(), { label: "l" }), false, "update");
      check_same(await store.list(), [], "list");
    },
  },
  {
    group,
    name: "flush as the first call, of all and of one that is not there",
    needs: ["flush"],
    async run({ store }) {
      await (store as Capable).flush();
      await (store as Capable).flush(new_id());
      check_same(await store.list(), [], "list");
    },
  },
  {
    group,
    name: "set_draft as the first call rejects with not_found, and removing none is no error",
    needs: ["set_draft"],
    async run({ store }) {
      const id = new_id();
      await check_rejects((store as Capable).set_draft(id, draft("typed")), "not_found", "set_draft");
      await (store as Capable).set_draft(id, undefined);
      check_same(await store.load(id), undefined, "load");
    },
  },
  {
    group,
    name: "many sessions and many messages",
    async run({ store }) {
      const ids = Array.from({ length: 40 }, () => new_id("many"));
      for (const id of ids) {
        await store.save(id, messages(`of ${id}`));
      }
      const long = Array.from({ length: 1_200 }, (_, n) => message(`message ${n}`));
      await store.save(ids[0] as string, long);
      check_same(
        (await loaded(store, ids[0] as string)).messages.map(({ id }) => id),
        long.map(({ id }) => id),
        "order",
      );
      check_same((await store.list()).map(({ id }) => id).sort(), [...ids].sort(), "all sessions");
    },
  },
];
