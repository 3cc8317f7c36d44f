import type { ConformanceCase } from "../types.js";
import { check_same, draft, loaded, messages, new_id, outcome_of, revision_of, type Capable } from "../check.js";

const group = "drafts";
const needs = ["set_draft"] as const;

export const DRAFTS: readonly ConformanceCase[] = [
  {
    group,
    name: "a draft is kept, replaced and removed, and moves nothing else",
    needs,
    async run({ store }) {
      const [id, given, first, second] = [new_id(), messages("one"), draft("first"), draft("second", "half an answer")];
      await store.save(id, given, { updated_at: "2024-01-01T00:00:00.000Z" });
      const before = await loaded(store, id);
      const { set_draft } = { set_draft: (store as Capable).set_draft.bind(store) };
      await set_draft(id, first);
      check_same((await loaded(store, id)).draft, first, "the draft");
      await set_draft(id, second);
      check_same(await loaded(store, id), { ...before, draft: second }, "the session with the next draft");
      await set_draft(id, undefined);
      check_same(await loaded(store, id), before, "the session without a draft");
      await set_draft(id, undefined);
    },
  },
  {
    group,
    name: "the turn that completes a draft removes it, however it is written",
    needs,
    async run({ store }) {
      const ways = ["save", "append", "replace"] as const;
      for (const way of ways.filter((one) => one === "save" || store[one] !== undefined)) {
        const [id, typed] = [new_id(), draft("typed")];
        await store.save(id, []);
        await (store as Capable).set_draft(id, typed);
        await write_turn(store as Capable, way, id, [typed.prompt]);
        check_same((await loaded(store, id)).draft, undefined, `the draft after ${way}`);
      }
    },
  },
  {
    group,
    name: "a turn never takes a newer draft with it",
    needs,
    async run({ store }) {
      const ways = ["save", "append", "replace"] as const;
      for (const way of ways.filter((one) => one === "save" || store[one] !== undefined)) {
        const [id, newer] = [new_id(), draft("newer")];
        await store.save(id, []);
        await (store as Capable).set_draft(id, newer);
        await write_turn(store as Capable, way, id, messages("an older turn"));
        check_same((await loaded(store, id)).draft, newer, `the draft after ${way}`);
      }
    },
  },
  {
    group,
    name: "a draft that its turn made void stays so when the turn is taken back",
    needs,
    async run({ store }) {
      const ways = ["save", "append", "replace"] as const;
      for (const way of ways.filter((one) => one === "save" || store[one] !== undefined)) {
        const [id, first, typed] = [new_id(), messages("one"), draft("typed")];
        await store.save(id, first);
        await (store as Capable).set_draft(id, typed);
        await write_turn(store as Capable, way, id, way === "append" ? [typed.prompt] : [...first, typed.prompt]);
        await write_turn(store as Capable, store.replace === undefined ? "save" : "replace", id, first);
        check_same((await loaded(store, id)).draft, undefined, `the draft after ${way} and a rewind`);
      }
    },
  },
  {
    group,
    name: "a draft that came behind its turn does not appear when the turn is taken back",
    needs,
    async run({ store }) {
      const [id, first, typed] = [new_id(), messages("one"), draft("typed")];
      await store.save(id, [...first, typed.prompt]);
      await (store as Capable).set_draft(id, typed);
      await write_turn(store as Capable, store.replace === undefined ? "save" : "replace", id, first);
      check_same((await loaded(store, id)).draft, undefined, "the draft after a rewind");
    },
  },
  {
    group,
    name: "an update leaves the draft alone",
    needs: ["set_draft", "update"],
    async run({ store }) {
      const [id, typed] = [new_id(), draft("typed", "half")];
      await store.save(id, messages("one"));
      await (store as Capable).set_draft(id, typed);
      await (store as Capable).update(id, { label: "l" });
      check_same((await loaded(store, id)).draft, typed, "the draft");
    },
  },
  {
    group,
    name: "a draft whose prompt the session holds is void, whichever was written first",
    needs,
    async run({ store }) {
      const [id, typed] = [new_id(), draft("typed")];
      await store.save(id, [typed.prompt]);
      const outcome = await outcome_of((store as Capable).set_draft(id, typed));
      check_same(outcome, "done", "set_draft");
      check_same((await loaded(store, id)).draft, undefined, "the draft");
    },
  },
  {
    group,
    name: "deleting a session deletes its draft, and a new session under its id has none",
    needs,
    async run({ store }) {
      const id = new_id();
      await store.save(id, []);
      await (store as Capable).set_draft(id, draft("typed"));
      await store.delete(id);
      await store.save(id, []);
      check_same((await loaded(store, id)).draft, undefined, "the draft");
    },
  },
  {
    group,
    name: "what is handed in and out can be changed",
    needs,
    async run({ store }) {
      const [id, typed] = [new_id(), draft("typed", "half")];
      const expected = structuredClone(typed);
      await store.save(id, []);
      await (store as Capable).set_draft(id, typed);
      typed.updated_at = "changed";
      const found = (await loaded(store, id)).draft;
      check_same(found, expected, "the draft");
      (found as { updated_at: string }).updated_at = "changed";
      check_same((await loaded(store, id)).draft, expected, "the draft, read again");
    },
  },
];

async function write_turn(
  store: Capable,
  way: "save" | "append" | "replace",
  id: string,
  turn: ReturnType<typeof messages>,
): Promise<void> {
  if (way === "save") {
    return store.save(id, turn);
  }
  await store[way](id, turn, { revision: await revision_of(store, id) });
}
