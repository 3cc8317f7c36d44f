import type { SessionDraft } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check_rejects, check_same, draft, loaded, messages, new_id, outcome_of, type Capable } from "../check.js";
import { MESSAGE_WAYS, ways_of, write_by } from "./ways.js";

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
      for (const way of ways_of(store, MESSAGE_WAYS)) {
        const [id, typed] = [new_id(), draft("typed")];
        await store.save(id, []);
        await (store as Capable).set_draft(id, typed);
        await write_by(store as Capable, way, id, undefined, [typed.prompt]);
        check_same((await loaded(store, id)).draft, undefined, `the draft after ${way}`);
      }
    },
  },
  {
    group,
    name: "a turn never takes a newer draft with it",
    needs,
    async run({ store }) {
      for (const way of ways_of(store, MESSAGE_WAYS)) {
        const [id, newer] = [new_id(), draft("newer")];
        await store.save(id, []);
        await (store as Capable).set_draft(id, newer);
        await write_by(store as Capable, way, id, undefined, messages("an older turn"));
        check_same((await loaded(store, id)).draft, newer, `the draft after ${way}`);
      }
    },
  },
  {
    group,
    name: "a draft that its turn made void stays so when the turn is taken back",
    needs,
    async run({ store }) {
      for (const way of ways_of(store, MESSAGE_WAYS)) {
        const [id, first, typed] = [new_id(), messages("one"), draft("typed")];
        await store.save(id, first);
        await (store as Capable).set_draft(id, typed);
        await write_by(
          store as Capable,
          way,
          id,
          undefined,
          way === "append" ? [typed.prompt] : [...first, typed.prompt],
        );
        await write_by(store as Capable, store.replace ? "replace" : "save", id, undefined, first);
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
      await write_by(store as Capable, store.replace ? "replace" : "save", id, undefined, first);
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
    name: "a flush leaves the draft alone",
    needs: ["set_draft", "flush"],
    async run({ store }) {
      const [id, typed] = [new_id(), draft("typed", "half")];
      await store.save(id, messages("one"));
      await (store as Capable).set_draft(id, typed);
      await (store as Capable).flush(id);
      await (store as Capable).flush();
      check_same((await loaded(store, id)).draft, typed, "the draft");
      check_same((await store.list()).length, 1, "the entries of the list");
    },
  },
  {
    group,
    name: "a draft whose prompt the session holds is void, whichever was written first",
    needs,
    async run({ store }) {
      for (const way of ways_of(store, MESSAGE_WAYS)) {
        const [id, typed] = [new_id(), draft("typed")];
        await store.save(id, []);
        await write_by(store as Capable, way, id, undefined, [typed.prompt]);
        check_same(await outcome_of((store as Capable).set_draft(id, typed)), "done", `set_draft behind ${way}`);
        check_same((await loaded(store, id)).draft, undefined, `the draft behind ${way}`);
      }
    },
  },
  {
    group,
    name: "a draft that was void can be set again once its turn is taken back",
    needs,
    async run({ store }) {
      for (const way of ways_of(store, ["save", "replace"])) {
        for (const is_flushed of [false, true]) {
          const [id, first, typed] = [new_id(), messages("one"), draft("typed")];
          await store.save(id, [...first, typed.prompt]);
          await (store as Capable).set_draft(id, typed);
          await (is_flushed && store.flush?.(id));
          await write_by(store as Capable, way, id, undefined, first);
          check_same((await loaded(store, id)).draft, undefined, `the draft, taken back by ${way}`);
          await (store as Capable).set_draft(id, typed);
          check_same((await loaded(store, id)).draft, typed, `the draft, set again behind ${way}`);
          await store.save(id, messages("other"));
          check_same((await loaded(store, id)).draft, typed, `the draft behind another turn, and ${way}`);
        }
      }
    },
  },
  {
    group,
    name: "what is no draft is refused, and the draft before stays",
    needs,
    async run({ store }) {
      const [id, typed] = [new_id(), draft("typed")];
      await store.save(id, []);
      await (store as Capable).set_draft(id, typed);
      const cyclic: Record<string, unknown> = {};
      cyclic["self"] = cyclic;
      const { updated_at } = typed;
      const all = [null, {}, { prompt: null, updated_at }, { prompt: {} }, { ...draft("x"), partial: cyclic }];
      for (const [n, bad] of all.entries()) {
        await check_rejects((store as Capable).set_draft(id, bad as SessionDraft), "invalid_input", `draft ${n}`);
        check_same((await loaded(store, id)).draft, typed, `the draft behind draft ${n}`);
      }
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
