import type { ConformanceCase } from "../types.js";
import {
  check,
  check_messages,
  check_rejects,
  check_same,
  loaded,
  messages,
  new_id,
  revision_of,
  type Capable,
} from "../check.js";

const group = "revisions and conflicts";

export const REVISIONS: readonly ConformanceCase[] = [
  {
    group,
    name: "the revision stays while the messages stay, and moves with them",
    needs: ["revision"],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const first = await revision_of(store, id);
      check_same(await revision_of(store, id), first, "read again");
      await store.save(id, messages("another"));
      check((await revision_of(store, id)) !== first, "other messages have the same revision");
    },
  },
  {
    group,
    name: "metadata and flush do not move the revision",
    needs: ["revision", "update"],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const first = await revision_of(store, id);
      await (store as Capable).update(id, { label: "l" });
      await store.flush?.(id);
      check_same(await revision_of(store, id), first, "the revision");
    },
  },
  {
    group,
    name: "replace at the revision, and its result is what load returns",
    needs: ["replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("two", "three")];
      await store.save(id, messages("one"), { label: "kept" });
      const { revision } = await (store as Capable).replace(id, given, {
        revision: await revision_of(store, id),
        metadata: { model: "m" },
      });
      await check_messages(store, id, given, "after replace");
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.model], ["kept", "m"], "label and model");
      check_same(await revision_of(store, id), revision, "the revision");
    },
  },
  {
    group,
    name: "replace at an old revision rejects with conflict, and changes nothing",
    needs: ["replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("theirs")];
      await store.save(id, messages("one"));
      const old = await revision_of(store, id);
      await store.save(id, given, { label: "theirs" });
      const metadata = { label: "mine" };
      await check_rejects(
        (store as Capable).replace(id, messages("mine"), { revision: old, metadata }),
        "conflict",
        "replace",
      );
      await check_messages(store, id, given, "after the conflict");
      check_same((await loaded(store, id)).metadata.label, "theirs", "label");
    },
  },
  {
    group,
    name: "replace with null over a session rejects with conflict, and changes nothing",
    needs: ["replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("theirs")];
      await store.save(id, given);
      await check_rejects((store as Capable).replace(id, [], { revision: null }), "conflict", "replace");
      await check_messages(store, id, given, "after the conflict");
    },
  },
  {
    group,
    name: "a session that was deleted and made again is not at its old revision",
    needs: ["replace"],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const old = await revision_of(store, id);
      await store.delete(id);
      await check_rejects(
        (store as Capable).replace(id, [], { revision: old }),
        "not_found",
        "replace of a deleted one",
      );
      const given = messages("another");
      await store.save(id, given);
      await check_rejects((store as Capable).replace(id, [], { revision: old }), "conflict", "replace of another one");
      await check_messages(store, id, given, "after the conflict");
    },
  },
];
