import type { ConformanceCase } from "../types.js";
import { check, check_rejects, check_same, loaded, messages, new_id, outcome_of, type Capable } from "../check.js";

const group = "order of calls";
const AT_ONCE = 10;

/** Calls that a new store gets before any other, and how each may end. */
function first_calls(store: Capable): Promise<string>[] {
  const calls: (() => Promise<unknown>)[] = [
    () => store.list(),
    () => store.load(new_id()),
    () => store.delete(new_id()),
    () => store.save(new_id(), messages("one")),
  ];
  const more: { [name in "append" | "replace" | "update" | "flush"]: () => Promise<unknown> } = {
    append: () => check_missing(store.append(new_id(), [], { revision: "r" })),
    replace: () => store.replace(new_id(), [], { revision: null }),
    update: () => store.update(new_id(), { label: "l" }),
    flush: () => store.flush(),
  };
  const claimed = Object.entries(more).filter(([name]) => store[name as keyof typeof more] !== undefined);
  return [...calls, ...claimed.map(([, call]) => call)].map((call) => outcome_of(call()));
}

/** An append to a session that is not there has to say so. */
async function check_missing(appended: Promise<unknown>): Promise<void> {
  await check_rejects(appended, "not_found", "append to a session that is not there");
}

export const CALLS: readonly ConformanceCase[] = [
  {
    group,
    name: "many calls of every kind at once, as the first ones",
    async run({ store }) {
      const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, () => first_calls(store as Capable)).flat());
      check_same([...new Set(outcomes)], ["done"], "outcomes");
      const created = AT_ONCE * (store.replace ? 2 : 1);
      check_same((await store.list()).length, created, "the sessions that were created");
      const [id, given] = [new_id(), messages("later")];
      await store.save(id, given);
      check_same((await loaded(store, id)).messages, given, "the messages of a later one");
    },
  },
  {
    group,
    name: "saves of one session, none awaited, happen in the order of the calls",
    needs: ["rules"],
    async run({ store }) {
      const id = new_id();
      const all = Array.from({ length: 20 }, (_, n) => messages(`${n}`));
      await Promise.all(all.map((given, n) => store.save(id, given, { model: `${n}` })));
      const { messages: found, metadata } = await loaded(store, id);
      check_same([found, metadata.model], [all.at(-1), "19"], "messages and model");
    },
  },
  {
    group,
    name: "a save behind a delete, neither awaited, is not deleted, and begins anew",
    needs: ["rules"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("two")];
      const first = store.save(id, messages("one"), { model: "m" });
      const deleted = store.delete(id);
      await Promise.all([first, deleted, store.save(id, given)]);
      check_same(await deleted, true, "the delete");
      const { messages: found, metadata } = await loaded(store, id);
      check_same([found, metadata.model], [given, undefined], "messages and model");
    },
  },
  {
    group,
    name: "an update finds the session of a save before it, and none behind a delete, nothing awaited",
    needs: ["update"],
    async run({ store }) {
      const id = new_id();
      const { update } = store as Capable;
      const [, updated] = await Promise.all([store.save(id, []), update.call(store, id, { label: "l" })]);
      check_same([updated, (await loaded(store, id)).metadata.label], [true, "l"], "the update, and the label");
      const [, late] = await Promise.all([store.delete(id), update.call(store, id, { label: "late" })]);
      check_same([late, await store.load(id)], [false, undefined], "the update behind the delete, and load");
    },
  },
  {
    group,
    name: "a call that is refused blocks none behind it",
    needs: ["rules"],
    async run({ store }) {
      const ids = Array.from({ length: 5 }, () => new_id());
      const calls = ids.flatMap((id) => [
        store.save(id, messages("one")),
        outcome_of(store.save(id, [null as never])).then((outcome) => check(outcome !== "done", "null is no message")),
        store.save(id, messages("one", "two")),
      ]);
      await Promise.all(calls);
      for (const id of ids) {
        check_same((await loaded(store, id)).messages.length, 2, "messages");
      }
    },
  },
];
