import { sleep } from "../../async/timers.js";
import { apply_query } from "../../metadata.js";
import type { SessionKind, SessionMetadata, SessionQuery, SessionStore } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check, check_same, messages, new_id, same, seeded, type Capable } from "../check.js";

const group = "listing";

const KINDS: readonly SessionKind[] = ["root", "fork", "child", "checkpoint"];

/** Sessions whose dates, ids, kinds and parents make every order and every filter matter. */
async function filled(store: SessionStore): Promise<SessionMetadata[]> {
  const random = seeded(11);
  const parents = [new_id("p"), new_id("p")];
  const ids = ["a", "C", "ø", "b-1", "\u{1f600}", "\uff5e", "~", "Z", "10", "9"];
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

/** A store may ignore queries, for callers filter and page; then it gives everything. */
function check_page(found: SessionMetadata[], all: SessionMetadata[], query: SessionQuery): void {
  if (!same(found, apply_query([...all], query))) {
    check_same(found, all, `list(${JSON.stringify(query)}) is neither what was asked for nor everything`);
  }
}

export const LISTING: readonly ConformanceCase[] = [
  {
    group,
    name: "newest first",
    async run({ store }) {
      const ids = [new_id(), new_id(), new_id()];
      const begun = Date.now();
      for (const id of [...ids, ids[0] as string]) {
        await store.save(id, []);
        await sleep(4);
      }
      const found = await store.list();
      const dates = found.map(({ updated_at }) => updated_at);
      check_same(dates, [...dates].sort().reverse(), "the dates");
      const order = found.map(({ id }) => id);
      if (Date.now() > begun) {
        check_same(order, [ids[0], ids[2], ids[1]], "order");
      } else {
        // Fake timers have stopped the clock: all dates are the same.
        check_same([...order].sort(), [...ids].sort(), "the sessions");
      }
    },
  },
  {
    group,
    name: "what is updated comes first, what is deleted is gone",
    needs: ["update"],
    async run({ store }) {
      const [old, newer] = [new_id("old"), new_id("newer")];
      await store.save(old, [], { updated_at: "2020-01-01T00:00:00.000Z" });
      await store.save(newer, [], { updated_at: "2021-01-01T00:00:00.000Z" });
      const ids = async () => (await store.list()).map(({ id }) => id);
      check_same(await ids(), [newer, old], "order");
      await (store as Capable).update(old, { label: "l" });
      check_same(await ids(), [old, newer], "order after the update");
      await store.delete(old);
      check_same(await ids(), [newer], "the list after the delete");
    },
  },
  {
    group,
    name: "ties by id, by UTF-16 code unit",
    needs: ["rules"],
    async run({ store }) {
      const date = "2024-01-01T00:00:00.000Z";
      const ids = ["b", "D", "a", "ø", "\uff5e", "\u{1f600}", "10", "9", "a.b", "a b", "a-b", "C"];
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
      const places = [...all, { updated_at: all[9]?.updated_at ?? "", id: "nobody" }];
      for (let round = 0; round < 80; round += 1) {
        const query: SessionQuery = {
          ...(random.below(2) === 0 && { limit: random.below(12) }),
          ...(random.below(2) === 0 && { before: random.pick(places) }),
          ...(random.below(3) === 0 && { parent_id: random.pick(all).parent_id ?? "nobody" }),
          ...(random.below(2) === 0 && { kinds: KINDS.filter(() => random.below(2) === 0) }),
        };
        check_page(await store.list(query), all, query);
      }
    },
  },
  {
    group,
    name: "pages follow each other without a gap or an overlap, while sessions are added",
    needs: ["rules", "query"],
    async run({ store }) {
      const all = await filled(store);
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
