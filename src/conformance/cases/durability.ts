import type { SessionStore } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check_messages, check_same, draft, loaded, messages, new_id, revision_of, type Capable } from "../check.js";

const group = "durability";

export const DURABILITY: readonly ConformanceCase[] = [
  {
    group,
    name: "sessions are there when the store is opened again",
    needs: ["reopen"],
    async run({ store, reopen }) {
      const [id, deleted, given] = [new_id(), new_id(), messages("one", "two")];
      await store.save(id, given, { label: "l", custom: { a: 1 } });
      await store.save(deleted, given);
      await store.delete(deleted);
      const before = await loaded(store, id);
      const again = (await reopen?.()) as SessionStore;
      check_same(await loaded(again, id), before, "the session");
      check_same(await again.load(deleted), undefined, "a deleted one");
      check_same(
        (await again.list()).map((entry) => entry.id),
        [id],
        "the list",
      );
    },
  },
  {
    group,
    name: "appends and updates are there without a flush, and the revision still holds",
    needs: ["reopen", "append"],
    async run({ store, reopen }) {
      const [id, first, second, third] = [new_id(), messages("one"), messages("two"), messages("three")];
      await store.save(id, first);
      await (store as Capable).append(id, second, { revision: await revision_of(store, id) });
      await store.update?.(id, { label: "l" });
      const revision = await revision_of(store, id);
      const again = (await reopen?.()) as Capable;
      await check_messages(again, id, [...first, ...second], "opened again");
      check_same(await revision_of(again, id), revision, "the revision");
      await again.append(id, third, { revision });
      await check_messages(again, id, [...first, ...second, ...third], "appended to");
    },
  },
  {
    group,
    name: "a draft is there when the store is opened again",
    needs: ["reopen", "set_draft"],
    async run({ store, reopen }) {
      const [id, typed] = [new_id(), draft("typed", "half an answer")];
      await store.save(id, messages("one"));
      await (store as Capable).set_draft(id, typed);
      const again = (await reopen?.()) as SessionStore;
      check_same((await loaded(again, id)).draft, typed, "the draft");
    },
  },
];
