import { sleep } from "../../async/timers.js";
import { apply_query } from "../../metadata.js";
import type { SessionKind, SessionMetadata, SessionQuery, SessionStore } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check, check_same, messages, new_id, NotClaimed, same, seeded } from "../check.js";

const group = "listing";

const KINDS: readonly SessionKind[] = ["root", "fork", "child", "checkpoint"];

/** Sessions whose dates, ids, kinds and parents make every order and every filter matter. */
async function filled(store: SessionStore): Promise<SessionMetadata[]> {
  const random = seeded(11);
  const parents = [new_id("p"), new_id("p")];
  const ids = ["a", "A", "ä", "b-1", "\u{1f600}", "\uff5e", "~", "Z", "10", "9"];
  for (let n = 0; n < 40; n += 1) {
    const kind = random.pick([...KINDS, undefined]);
    const date = `202${random.below(3)}-01-0${1 + random.below(3)}T00:00:00.000Z`;
    await store.save(`${random.pick(ids)}${n % 7}`, messages("m"), {
      updated_at: date,
      ...(kind && { kind }),
      ...(random.below(2) === 0 && { parent_id: random.pick(parents), detached: random.below(2) === 0 }),
      ...(random.below(6) === 0 && { is_checkpoint: true }),
    });
  }
  return store.list();
}

function expect_page(found: SessionMetadata[], all: SessionMetadata[], query: SessionQuery): "filtered" | "ignored" {
  if (same(found, apply_query([...all], query))) {
    return "filtered";
  }
  check_same(found, all, `list(${JSON.stringify(query)}) is neither what was asked for nor everything`);
  return "ignored";
}

export const LISTING: readonly ConformanceCase[] = [
  {
    group,
    name: "newest first",
    async run({ store }) {
      const ids = [new_id(), new_id(), new_id()];
      for (const id of [...ids, ids[0] as string]) {
        await store.save(id, []);
        await sleep(4);
      }
      check_same(
        (await store.list()).map(({ id }) => id),
        [ids[0], ids[2], ids[1]],
        "order",
      );
    },
  },
  {
    group,
    name: "ties by id, by UTF-16 code unit",
    needs: ["rules"],
    async run({ store }) {
      const date = "2024-01-01T00:00:00.000Z";
      const ids = ["b", "B", "a", "ä", "\uff5e", "\u{1f600}", "10", "9", "a.b", "a b", "a-b", "A"];
      for (const id of ids) {
        await store.save(id, [], { updated_at: date });
      }
      check_same(
        (await store.list()).map(({ id }) => id),
        [...ids].sort(),
        "order",
      );
    },
  },
  {
    group,
    name: "generated queries, judged by apply_query",
    needs: ["rules"],
    async run({ store }) {
      const all = await filled(store);
      check_same(all, apply_query([...all], {}), "list without a query is not in order");
      const random = seeded(12);
      const answers = new Set<string>();
      for (let round = 0; round < 60; round += 1) {
        const query: SessionQuery = {
          ...(random.below(2) === 0 && { limit: random.below(12) }),
          ...(random.below(2) === 0 && { before: random.pick(all) }),
          ...(random.below(3) === 0 && { parent_id: random.pick(all).parent_id ?? "nobody" }),
          ...(random.below(2) === 0 && { kinds: KINDS.filter(() => random.below(2) === 0) }),
        };
        answers.add(expect_page(await store.list(query), all, query));
      }
      if (!answers.has("filtered") || (await store.list({ limit: 1 })).length > 1) {
        throw new NotClaimed("the store ignores queries, as it may: callers filter and page");
      }
    },
  },
  {
    group,
    name: "pages follow each other without a gap or an overlap, while sessions are added",
    needs: ["rules"],
    async run({ store }) {
      const all = await filled(store);
      if ((await store.list({ limit: 1 })).length > 1) {
        throw new NotClaimed("the store ignores queries, as it may: callers filter and page");
      }
      const found: SessionMetadata[] = [];
      for (let page = await store.list({ limit: 7 }); page.length > 0;) {
        found.push(...page);
        check(found.length <= all.length, `the pages give more than the ${all.length} sessions that there are`);
        await store.save(new_id("new"), [], { updated_at: "2030-01-01T00:00:00.000Z" });
        const { updated_at, id } = page.at(-1) as SessionMetadata;
        page = await store.list({ limit: 7, before: { updated_at, id } });
      }
      check_same(
        found.map(({ id }) => id),
        all.map(({ id }) => id),
        "the pages",
      );
    },
  },
  {
    group,
    name: "list gives metadata and no messages",
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one", "two"), { label: "l" });
      const [entry, ...others] = await store.list();
      check(others.length === 0 && entry?.id === id && entry.message_count === 2, "one entry with its message_count");
      check(!Object.hasOwn(entry as object, "messages"), "the entry has messages");
    },
  },
];
