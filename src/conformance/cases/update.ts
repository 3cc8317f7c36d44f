import type { SessionMetadata } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check, check_messages, check_same, loaded, messages, new_id, revision_of, type Capable } from "../check.js";

const group = "update";
const needs = ["update"] as const;

export const UPDATE: readonly ConformanceCase[] = [
  {
    group,
    name: "merges metadata, says that there is such a session, and leaves the messages alone",
    needs,
    async run({ store }) {
      const [id, given] = [new_id(), messages("one", "two")];
      await store.save(id, given, { label: "old", provider: "p" });
      check_same(await (store as Capable).update(id, { label: "new", model: "m" }), true, "update");
      await check_messages(store, id, given, "after update");
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.model, metadata.provider], ["new", "m", "p"], "metadata");
      check_same(
        (await store.list()).map(({ label }) => label),
        ["new"],
        "the label in the list",
      );
    },
  },
  {
    group,
    name: "follows the merge rule, dates included",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"), {
        label: "l",
        label_source: "user",
        created_at: "2020-01-01T00:00:00.000Z",
      });
      const given = { label: "auto", label_source: "auto", message_count: 9, id: "x", unheard_of: 1, provider: null };
      await (store as Capable).update(id, given as unknown as Partial<SessionMetadata>);
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.id, metadata.message_count], ["l", id, 1], "label, id, message_count");
      check_same(metadata.created_at, "2020-01-01T00:00:00.000Z", "created_at");
      check((metadata as unknown as Record<string, unknown>)["unheard_of"] === 1, "an unknown key is lost");
      await (store as Capable).update(id, { updated_at: "2021-01-01T00:00:00.000Z" });
      check_same((await loaded(store, id)).metadata.updated_at, "2021-01-01T00:00:00.000Z", "updated_at");
    },
  },
  {
    group,
    name: "between appends is kept by both",
    needs: ["update", "append"],
    async run({ store }) {
      const [id, first, second] = [new_id(), messages("one"), messages("two")];
      await store.save(id, first);
      const revision = await revision_of(store, id);
      await (store as Capable).update(id, { label: "l" });
      await (store as Capable).append(id, second, { revision, metadata: { model: "m" } });
      await (store as Capable).update(id, { provider: "p" });
      await check_messages(store, id, [...first, ...second], "after all");
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.model, metadata.provider], ["l", "m", "p"], "metadata");
    },
  },
];
