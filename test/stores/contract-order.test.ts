import { session_kind, type SessionKind, type SessionMetadata, type SessionQuery } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import { type FullStore, message, outcome_of, pick, seeded, STORES } from "./helpers.js";

const DATES = ["2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z", "2023-12-31T23:59:59.999Z"] as const;
/** U+1F600 comes before U+FF5E by UTF-16 code unit, and behind it by code point; in most languages `a` before `B`. */
const NAMES = ["a", "A", "b", "B", "ä", "z", "Z", "10", "9", "é", "e\u0301", "\u{1f600}", "\uff5e", "_", "a-", "a b"];
const KINDS: readonly [SessionKind | undefined, ...SessionKind[]] = [undefined, "root", "fork", "child", "checkpoint"];

function oracle(all: SessionMetadata[], { limit = Infinity, before, parent_id, kinds }: SessionQuery) {
  const key = (entry: { updated_at: string; id: string }) => [-Date.parse(entry.updated_at), entry.id] as const;
  const after = (a: readonly [number, string], b: readonly [number, string]) =>
    a[0] - b[0] || (a[1] < b[1] ? -1 : Number(a[1] > b[1]));
  const sorted = [...all].sort((a, b) => after(key(a), key(b)));
  const found = sorted.filter(
    (entry) => (!before || after(key(before), key(entry)) < 0) && (!kinds || kinds.includes(session_kind(entry))),
  );
  return found
    .filter((entry) => !parent_id || entry.parent_id === parent_id)
    .slice(0, limit)
    .map(({ id }) => id);
}

async function fill(store: FullStore, seed: number): Promise<SessionMetadata[]> {
  const random = seeded(seed);
  for (const id of NAMES) {
    const kind = pick(random, KINDS);
    const parent_id = pick(random, [undefined, "a", "parent"]);
    await store.save(id, [message(id)], {
      updated_at: pick(random, DATES),
      ...(kind && { kind }),
      ...(parent_id && { parent_id, detached: random() < 0.5 }),
      ...(random() < 0.2 && { is_checkpoint: true }),
    });
  }
  return store.list();
}

const ids_of = (entries: SessionMetadata[]) => entries.map(({ id }) => id);

describe.each(STORES)("$name", ({ open }) => {
  test("rule 21: generated queries, judged by an oracle", async () => {
    for (const seed of [1, 2]) {
      const random = seeded(seed * 1000);
      const store = open();
      const all = await fill(store, seed);
      expect(all).toHaveLength(NAMES.length);
      expect(ids_of(all)).toEqual(oracle(all, {}));
      for (let round = 0; round < 80; round += 1) {
        const limit = pick(random, [undefined, 0, 1, 3, 100]);
        const before = pick(random, [undefined, ...all, { updated_at: DATES[0], id: "nobody" }]);
        const parent_id = pick(random, [undefined, "a", "parent", "unknown"]);
        const kinds = pick<SessionKind[] | undefined>(random, [
          undefined,
          ["root"],
          ["fork", "child"],
          ["checkpoint"],
          [],
        ]);
        const query = {
          ...(limit !== undefined && { limit }),
          ...(before && { before: { updated_at: before.updated_at, id: before.id } }),
          ...(parent_id && { parent_id }),
          ...(kinds && { kinds }),
        };
        expect(ids_of(await store.list(query)), JSON.stringify(query)).toEqual(oracle(all, query));
      }
    }
  });

  test("rule 21: page after page is the whole list, each entry once", async () => {
    const store = open();
    const all = await fill(store, 7);
    const paged: SessionMetadata[] = [];
    for (let n = 0; n < all.length; n += 3) {
      const before = paged.at(-1);
      paged.push(...(await store.list({ limit: 3, ...(before && { before }) })));
    }
    expect(paged).toEqual(all);
    expect(await store.list({ before: paged.at(-1) ?? { updated_at: "", id: "" } })).toEqual([]);
  });

  test("rule 21: what changes last comes first", async () => {
    const store = open();
    await store.save("old", [], { updated_at: DATES[2] });
    await store.save("new", [], { updated_at: DATES[1] });
    expect(ids_of(await store.list())).toEqual(["new", "old"]);
    await store.update("old", { label: "touched" });
    expect(ids_of(await store.list())).toEqual(["old", "new"]);
    await store.delete("old");
    expect(ids_of(await store.list())).toEqual(["new"]);
  });

  test("rule 25: a limit that is no count is invalid input", async () => {
    const store = open();
    await store.save("s", []);
    for (const limit of [-1, 1.5, NaN, Infinity, "3" as unknown as number]) {
      expect(await outcome_of(store.list({ limit })), String(limit)).toBe("invalid_input");
    }
    expect(await store.list({ limit: 0 })).toEqual([]);
  });
});
