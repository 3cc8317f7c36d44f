import type { SessionStore } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import {
  check_messages,
  check_same,
  draft,
  loaded,
  message,
  messages,
  new_id,
  revision_of,
  type Capable,
} from "../check.js";
import { TEXTS } from "./isolation.js";
import { ways_of, write_by } from "./ways.js";

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
    name: "texts of every kind are there when the store is opened again, before a flush and behind it",
    needs: ["reopen"],
    async run({ store, reopen }) {
      const id = new_id();
      const given = TEXTS.map((text) => message(text, { [`key ${text}`]: text }));
      await store.save(id, [], { label: TEXTS.join("") });
      const way = ways_of(store, ["append"]).at(0) ?? "save";
      await write_by(store as Capable, way, id, { custom: { [TEXTS.join("")]: TEXTS } }, given);
      const before = JSON.stringify(await loaded(store, id));
      check_same((await loaded(store, id)).messages, given, "messages");
      check_same(JSON.stringify(await loaded((await reopen?.()) as SessionStore, id)), before, "opened again");
      await store.flush?.();
      check_same(JSON.stringify(await loaded((await reopen?.()) as SessionStore, id)), before, "behind a flush");
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
