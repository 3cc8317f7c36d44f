import type { Message } from "@simulacra-ai/core";
import type { ConformanceCase } from "../types.js";
import {
  check,
  check_messages,
  check_rejects,
  check_same,
  loaded,
  messages,
  new_id,
  outcome_of,
  revision_of,
  seeded,
  type Capable,
} from "../check.js";
import { start_write } from "./ways.js";

const group = "revisions and conflicts";

export const REVISIONS: readonly ConformanceCase[] = [
  {
    group,
    name: "the revision stays while the messages stay, and moves with them",
    needs: ["revision"],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const first = await revision_of(store, id);
      check_same(await revision_of(store, id), first, "read again");
      await store.save(id, messages("another"));
      check((await revision_of(store, id)) !== first, "other messages have the same revision");
    },
  },
  {
    group,
    name: "metadata and flush do not move the revision",
    needs: ["revision", "update"],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const first = await revision_of(store, id);
      await (store as Capable).update(id, { label: "l" });
      await store.flush?.(id);
      check_same(await revision_of(store, id), first, "the revision");
    },
  },
  {
    group,
    name: "replace at the revision, and its result is what load returns",
    needs: ["replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("two", "three")];
      await store.save(id, messages("one"), { label: "kept" });
      const { revision } = await (store as Capable).replace(id, given, {
        revision: await revision_of(store, id),
        metadata: { model: "m" },
      });
      await check_messages(store, id, given, "after replace");
      const { metadata } = await loaded(store, id);
      check_same([metadata.label, metadata.model], ["kept", "m"], "label and model");
      check_same(await revision_of(store, id), revision, "the revision");
    },
  },
  {
    group,
    name: "replace at an old revision rejects with conflict, and changes nothing",
    needs: ["replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("theirs")];
      await store.save(id, messages("one"));
      const old = await revision_of(store, id);
      await store.save(id, given, { label: "theirs" });
      const metadata = { label: "mine" };
      await check_rejects(
        (store as Capable).replace(id, messages("mine"), { revision: old, metadata }),
        "conflict",
        "replace",
      );
      await check_messages(store, id, given, "after the conflict");
      check_same((await loaded(store, id)).metadata.label, "theirs", "label");
    },
  },
  {
    group,
    name: "replace with null over a session rejects with conflict, and changes nothing",
    needs: ["replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("theirs")];
      await store.save(id, given);
      await check_rejects((store as Capable).replace(id, [], { revision: null }), "conflict", "replace");
      await check_messages(store, id, given, "after the conflict");
    },
  },
  {
    group,
    name: "a revision that never was, or is none, is a conflict, and changes nothing",
    needs: ["append", "replace"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("theirs")];
      await store.save(id, given, { label: "theirs" });
      const metadata = { label: "mine" };
      for (const revision of ["", "never", undefined as unknown as string]) {
        for (const way of ["append", "replace"] as const) {
          for (const mine of [messages("mine"), []]) {
            const options = { metadata, given: mine, revision };
            const what = `${way} of ${mine.length} messages at ${String(revision)}`;
            await check_rejects(start_write(store as Capable, way, id, options), "conflict", what);
          }
        }
      }
      await check_messages(store, id, given, "after the conflicts");
      check_same((await loaded(store, id)).metadata.label, "theirs", "label");
    },
  },
  {
    group,
    name: "generated histories: each outcome is the one to expect, and equal revisions mean equal messages",
    needs: ["append", "replace", "update"],
    run: ({ store }) => generated_history(store as Capable),
  },
  {
    group,
    name: "a session that was deleted and made again is not at its old revision",
    needs: ["replace"],
    async run({ store }) {
      const id = new_id();
      await store.save(id, messages("one"));
      const old = await revision_of(store, id);
      await store.delete(id);
      await check_rejects(
        (store as Capable).replace(id, [], { revision: old }),
        "not_found",
        "replace of a deleted one",
      );
      const given = messages("another");
      await store.save(id, given);
      await check_rejects((store as Capable).replace(id, [], { revision: old }), "conflict", "replace of another one");
      await check_messages(store, id, given, "after the conflict");
    },
  },
];

const CALLS = ["append", "append", "replace", "create", "save", "update", "flush", "delete"] as const;

async function generated_history(store: Capable): Promise<void> {
  const [id, random] = [new_id(), seeded(23)];
  const messages_at = new Map<string, string>();
  const revisions = ["never"];
  let model: Message[] | undefined;
  for (let round = 0; round < 150; round += 1) {
    const current = (await store.load(id))?.revision;
    const is_current = random.below(10) < 7 && current !== undefined;
    const revision = is_current ? current : random.pick(revisions);
    const given = messages(...Array.from({ length: random.below(3) }, (_, n) => `${round} ${n}`));
    const expected = model ? (revision === current ? "done" : "conflict") : "not_found";
    const call = random.pick(CALLS);
    const what = `round ${round}, ${call}`;
    if (call === "append" || call === "replace") {
      check_same(await outcome_of(start_write(store, call, id, { given, revision })), expected, what);
      if (expected === "done") {
        model = call === "append" ? [...(model ?? []), ...given] : given;
      }
    } else if (call === "create") {
      const created = await outcome_of(store.replace(id, given, { revision: null }));
      check_same(created, model ? "conflict" : "done", what);
      model ??= given;
    } else if (call === "save") {
      await store.save(id, given);
      model = given;
    } else if (call === "update") {
      check_same(await store.update(id, { label: `${round}` }), model !== undefined, what);
    } else if (call === "flush") {
      await store.flush?.(random.below(2) === 0 ? id : undefined);
    } else if (random.below(2) === 0) {
      check_same(await store.delete(id), model !== undefined, what);
      model = undefined;
    }
    const found = await store.load(id);
    check_same(found?.messages, model, `${what}: the messages`);
    check_same(found?.metadata.message_count, model?.length, `${what}: the message_count`);
    if (found?.revision !== undefined) {
      const text = JSON.stringify(found.messages);
      check_same(text, messages_at.get(found.revision) ?? text, `${what}: the messages of a revision that was there`);
      messages_at.set(found.revision, text);
      revisions.push(found.revision);
    }
  }
}
