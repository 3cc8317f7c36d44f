import type { SessionStore } from "../../types.js";
import type { ConformanceCase, ConformanceFixture } from "../types.js";
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

const group = "concurrency";
const WRITERS = 8;
const TURNS = 12;

/** Everybody begins at once. */
export function start_gate(): { wait: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  return { wait: new Promise((resolve) => (open = resolve)), open: () => open() };
}

/** Appends until all are stored, reading the session again after each conflict. Returns what was acknowledged. */
export async function append_all(store: SessionStore, id: string, writer: number): Promise<string[]> {
  const done: string[] = [];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const added = message(`writer ${writer}, turn ${turn}`);
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await outcome_of(
        (store as Capable).append(id, [added], { revision: await revision_of(store, id) }),
      );
      if (outcome === "done") {
        done.push(added.id as string);
        break;
      }
      check(outcome === "conflict", `append: ${outcome}`);
      check(attempt < 2_000, "append: a conflict every time");
    }
  }
  return done;
}

async function append_together(stores: readonly SessionStore[]): Promise<void> {
  const id = new_id();
  const [first] = stores as [SessionStore];
  await first.save(id, []);
  const gate = start_gate();
  const writers = stores.map(async (store, writer) => {
    await gate.wait;
    return append_all(store, id, writer);
  });
  gate.open();
  const done = await Promise.all(writers);
  const found = (await loaded(first, id)).messages.map((one) => one.id as string);
  check_same([...found].sort(), done.flat().sort(), "each acknowledged message is there once");
  done.forEach((own) =>
    check_same(
      found.filter((one) => own.includes(one)),
      own,
      "the order of one writer's messages",
    ),
  );
}

async function only_one_wins(stores: readonly SessionStore[], way: "append" | "replace" | "create"): Promise<void> {
  for (let round = 0; round < 10; round += 1) {
    const id = new_id();
    const [first] = stores as [SessionStore];
    if (way !== "create") {
      await first.save(id, []);
    }
    const revision = way === "create" ? null : await revision_of(first, id);
    const texts = stores.map((_, writer) => messages(`writer ${writer}`));
    const outcomes = await Promise.all(
      stores.map((store, writer) => {
        const given = texts[writer] ?? [];
        return outcome_of(
          way === "append"
            ? (store as Capable).append(id, given, { revision: revision ?? "" })
            : (store as Capable).replace(id, given, { revision }),
        );
      }),
    );
    const winners = outcomes.flatMap((outcome, writer) => (outcome === "done" ? [writer] : []));
    check(winners.length === 1, `${winners.length} of ${stores.length} writers win: ${outcomes.join(", ")}`);
    check(
      outcomes.every((outcome) => outcome === "done" || outcome === "conflict"),
      `outcomes: ${outcomes.join(", ")}`,
    );
    check_same((await loaded(first, id)).messages, texts[winners[0] as number], "the winner's messages");
  }
}

export async function second(fixture: ConformanceFixture): Promise<SessionStore[]> {
  return [fixture.store, (await fixture.open_second?.()) as SessionStore];
}

const repeated = (store: SessionStore) => Array.from({ length: WRITERS }, () => store);

export const CONCURRENCY: readonly ConformanceCase[] = [
  {
    group,
    name: "saves of many sessions at once",
    async run({ store }) {
      const ids = Array.from({ length: 30 }, () => new_id());
      await Promise.all(ids.map((id) => store.save(id, messages(id))));
      for (const id of ids) {
        check_same((await loaded(store, id)).messages.length, 1, id);
      }
      check_same((await store.list()).length, ids.length, "the list");
    },
  },
  {
    group,
    name: "saves of one session at once leave one of them, whole",
    async run({ store }) {
      const [id, all] = [
        new_id(),
        Array.from({ length: 10 }, (_, n) => messages(...Array.from({ length: n + 1 }, (_unused, m) => `${n} ${m}`))),
      ];
      await Promise.all(all.map((given) => store.save(id, given)));
      const found = await loaded(store, id);
      check(
        all.some((given) => JSON.stringify(given) === JSON.stringify(found.messages)),
        "the messages are none of those saved",
      );
      check_same(found.metadata.message_count, found.messages.length, "message_count");
    },
  },
  {
    group,
    name: "appends through one instance: nothing acknowledged is lost, doubled or out of order",
    needs: ["append"],
    run: ({ store }) => append_together(repeated(store)),
  },
  {
    group,
    name: "of several appends at one revision one wins, the others conflict",
    needs: ["append"],
    run: ({ store }) => only_one_wins(repeated(store), "append"),
  },
  {
    group,
    name: "of several replaces at one revision, or of nothing, one wins",
    needs: ["replace"],
    async run({ store }) {
      await only_one_wins(repeated(store), "replace");
      await only_one_wins(repeated(store), "create");
    },
  },
  {
    group,
    name: "updates of different keys at once are all kept",
    needs: ["update"],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const keys = Array.from({ length: 16 }, (_, n) => `key_${n}`);
      await Promise.all(keys.map((key) => (store as Capable).update(id, { [key]: key })));
      const { metadata } = await loaded(store, id);
      check_same(
        keys.filter((key) => (metadata as unknown as Record<string, unknown>)[key] !== key),
        [],
        "keys that are lost",
      );
    },
  },
  {
    group,
    name: "appends through two instances: nothing acknowledged is lost, doubled or out of order",
    needs: ["append", "open_second"],
    run: async (fixture) => append_together(await second(fixture)),
  },
  {
    group,
    name: "of appends, replaces and creations through two instances one wins",
    needs: ["append", "replace", "open_second"],
    async run(fixture) {
      const stores = await second(fixture);
      await only_one_wins(stores, "append");
      await only_one_wins(stores, "replace");
      await only_one_wins(stores, "create");
    },
  },
  {
    group,
    name: "of deletes at once one says that there was a session, through two instances too",
    needs: ["rules"],
    async run(fixture) {
      const [one, other = fixture.store] = fixture.open_second ? await second(fixture) : [fixture.store];
      for (let round = 0; round < 4; round += 1) {
        const id = new_id();
        await fixture.store.save(id, messages("one"));
        const deleted = await Promise.all([one, other, one].map((store) => (store ?? other).delete(id)));
        check_same([...deleted].sort(), [false, false, true], "what the deletes say");
      }
    },
  },
  {
    group,
    name: "what one instance writes, another reads at once",
    needs: ["open_second"],
    async run(fixture) {
      const [one, other] = (await second(fixture)) as [SessionStore, SessionStore];
      const id = new_id();
      await one.save(id, messages("one"), { label: "l" });
      check_same((await loaded(other, id)).metadata.label, "l", "the label that the other reads");
      const given = messages("two");
      await other.save(id, given);
      check_same((await loaded(one, id)).messages, given, "the messages that the first reads");
      check_same(
        (await one.list()).map((entry) => entry.id),
        [id],
        "the list of the first",
      );
      await one.delete(id);
      check_same(await other.load(id), undefined, "load of the other");
    },
  },
];
