import { sleep } from "../../async/timers.js";
import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import {
  check,
  check_same,
  loaded,
  message,
  messages,
  new_id,
  outcome_of,
  revision_of,
  type Capable,
} from "../check.js";

const WAYS = ["append", "replace", "update"] as const;
type Way = (typeof WAYS)[number];

const OLD = "2020-01-01T00:00:00.000Z";
const NEWER = "2021-01-01T00:00:00.000Z";

/** Writes metadata in one of the ways; those that take messages are given some. */
async function write_by(
  store: Capable,
  way: Way,
  id: string,
  metadata: object | undefined,
  given: Message[] = messages("more"),
): Promise<void> {
  if (way === "update") {
    await store.update(id, metadata ?? {});
    return;
  }
  const revision = await revision_of(store, id);
  await store[way](id, given, { revision, ...(metadata !== undefined && { metadata }) });
}

type Written = Partial<SessionMetadata> & { unheard_of?: unknown };

async function metadata_of(store: Capable, id: string): Promise<Written> {
  return (await loaded(store, id)).metadata;
}

/** The merge rule, in a way that is not `save`. */
const merge_cases = (way: Way): ConformanceCase[] => [
  {
    group: "metadata merge",
    name: `${way} keeps what it is not given, keys that nobody knows too`,
    needs: [way],
    async run({ store }) {
      const id = new_id();
      const kept = { label: "l", custom: { a: [1, null] }, unheard_of: { b: "x" }, detached: false, created_at: OLD };
      await store.save(id, messages("one"), kept);
      await write_by(store as Capable, way, id, { model: "m" });
      await write_by(store as Capable, way, id, undefined);
      const { label, custom, unheard_of, detached, created_at, model } = await metadata_of(store as Capable, id);
      check_same({ label, custom, unheard_of, detached, created_at, model }, { ...kept, model: "m" }, "metadata");
    },
  },
  {
    group: "metadata merge",
    name: `${way} sets updated_at to now, where it is given no other`,
    needs: [way],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"), { updated_at: OLD });
      const before = new Date().toISOString();
      await sleep(2);
      await write_by(store as Capable, way, id, { model: "m" });
      const { updated_at = "" } = await metadata_of(store as Capable, id);
      check(updated_at >= before && updated_at <= new Date().toISOString(), `updated_at is ${updated_at}, not now`);
      await write_by(store as Capable, way, id, { updated_at: NEWER, created_at: OLD });
      const dates = await metadata_of(store as Capable, id);
      check_same([dates.created_at, dates.updated_at], [OLD, NEWER], "given dates");
    },
  },
  {
    group: "metadata merge",
    name: `${way}: undefined changes nothing, null removes a key`,
    needs: [way],
    async run({ store }) {
      const id = new_id();
      await store.save(id, [], { label: "l", model: "m", provider: "p" });
      await write_by(store as Capable, way, id, { label: undefined, model: null });
      const metadata = await metadata_of(store as Capable, id);
      check_same([metadata.label, metadata.provider], ["l", "p"], "label and provider");
      check(!("model" in metadata), "a key that was removed is still there");
    },
  },
  {
    group: "metadata merge",
    name: `${way}: an auto label never replaces a user's, and kind is written once`,
    needs: [way],
    async run({ store }) {
      const id = new_id();
      await store.save(id, [], { label: "a", label_source: "auto", kind: "fork" });
      const label_after = async (given: Partial<SessionMetadata>) => {
        await write_by(store as Capable, way, id, given);
        const { label, label_source, kind } = await metadata_of(store as Capable, id);
        return [label, label_source, kind];
      };
      check_same(await label_after({ label: "b", label_source: "user" }), ["b", "user", "fork"], "user over auto");
      const automatic = { label: "c", label_source: "auto", kind: "root" } as const;
      check_same(await label_after(automatic), ["b", "user", "fork"], "auto over user");
      check_same(await label_after({ label: "d", label_source: "user" }), ["d", "user", "fork"], "user over user");
    },
  },
];

/** What is handed in stays the caller's, in a way that is not `save`. */
const isolation_cases = (way: Way): ConformanceCase[] => [
  {
    group: "isolation",
    name: `what is handed to ${way} can be changed afterwards`,
    needs: [way],
    async run({ store }) {
      const [id, given] = [new_id(), messages("one", "two")];
      const custom = { list: [1] };
      await store.save(id, []);
      const expected = way === "update" ? [] : structuredClone(given);
      await write_by(store as Capable, way, id, { custom }, given);
      ((given[0] as Message).content[0] as { text: string }).text = "changed";
      given.push(message("three"));
      custom.list.push(2);
      const found = await loaded(store, id);
      check_same(found.messages, expected, "messages");
      check_same(found.metadata.custom, { list: [1] }, "custom");
    },
  },
];

/** All of it or nothing, in a way that takes messages. */
const refusal_cases = (way: "append" | "replace"): ConformanceCase[] => [
  {
    group: "isolation",
    name: `${way} of what JSON cannot hold is refused, and the session stays as it was`,
    needs: [way],
    async run({ store }) {
      const [id, given] = [new_id(), messages("one")];
      await store.save(id, given);
      const before = await loaded(store, id);
      const cyclic: Record<string, unknown> = {};
      cyclic["self"] = cyclic;
      const bad = [message("two"), message("three", { cyclic })];
      const outcome = await outcome_of(write_by(store as Capable, way, id, { label: "l" }, bad));
      check(outcome === "invalid_input", `a cyclic message: ${outcome}`);
      check_same(await loaded(store, id), before, "the session");
    },
  },
];

/** The rules of `save`, asked of the methods beside it. */
export const WRITE_WAYS: readonly ConformanceCase[] = [
  ...WAYS.flatMap(merge_cases),
  ...WAYS.flatMap(isolation_cases),
  ...refusal_cases("append"),
  ...refusal_cases("replace"),
];
