import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import { check, check_same, listed, loaded, message, messages, new_id, outcome_of } from "../check.js";

const group = "isolation";

const TEXTS = [
  "\u0000 \u001f \u007f",
  "\u2028\u2029\r\n\t",
  "\ufeff byte order",
  "\u{1f468}\u200d\u{1f469} '\"\\ ` ${x} %s ?1 $1 :a",
  "\ud800 alone, and \udc00 too",
  "</script><!-- ]]>",
  "",
];

const HOSTILE_IDS = [
  "../escape",
  "a/b",
  "a\\b",
  ".hidden",
  "a\u0000b",
  "CON",
  "__proto__",
  "constructor",
  "'; drop table sessions; --",
  "%",
  "_",
  "*",
  "a:b",
  "a{b}",
  "{a}",
  "a b",
  "trailing ",
  "\u{1f600}",
  "x".repeat(180),
];

export const ISOLATION: readonly ConformanceCase[] = [
  {
    group,
    name: "what is handed in can be changed afterwards",
    async run({ store }) {
      const [id, given] = [new_id(), messages("one", "two")];
      const metadata = { label: "l", custom: { list: [1] } };
      const expected = structuredClone(given);
      await store.save(id, given, metadata);
      ((given[0] as Message).content[0] as { text: string }).text = "changed";
      given.pop();
      metadata.custom.list.push(2);
      check_same((await loaded(store, id)).messages, expected, "messages");
      check_same((await loaded(store, id)).metadata.custom, { list: [1] }, "custom");
    },
  },
  {
    group,
    name: "what is handed out can be changed",
    async run({ store }) {
      const [id, given] = [new_id(), messages("one", "two")];
      await store.save(id, given, { label: "l", custom: { list: [1] } });
      const first = await loaded(store, id);
      ((first.messages[0] as Message).content[0] as { text: string }).text = "changed";
      first.messages.pop();
      first.metadata.label = "changed";
      (first.metadata.custom?.["list"] as number[]).push(2);
      const entry = (await listed(store, id)) as SessionMetadata;
      (entry.custom?.["list"] as number[]).push(3);
      const { messages: found, metadata } = await loaded(store, id);
      check_same([found, metadata.label, metadata.custom], [given, "l", { list: [1] }], "the session");
      check_same((await listed(store, id))?.custom, { list: [1] }, "the list entry");
    },
  },
  {
    group,
    name: "texts of every kind come back as they were",
    async run({ store }) {
      const id = new_id();
      const given = [...messages(...TEXTS), ...messages(...TEXTS.map((text) => text.repeat(50)))];
      const metadata = {
        label: TEXTS[3] ?? "",
        custom: Object.fromEntries(TEXTS.map((text, n) => [`${n} ${text}`, text])),
      };
      await store.save(id, given, metadata);
      const found = await loaded(store, id);
      check_same(found.messages, given, "messages");
      check_same([found.metadata.label, found.metadata.custom], [metadata.label, metadata.custom], "metadata");
      check_same((await listed(store, id))?.custom, metadata.custom, "the list's metadata");
    },
  },
  {
    group,
    name: "keys such as __proto__ are data, and change nothing else",
    async run({ store }) {
      const id = new_id();
      const hostile = JSON.parse('{"__proto__":{"polluted":1},"constructor":2,"toJSON":3,"$set":{"a":1}}') as object;
      const given = [message("one", { hostile })];
      await store.save(id, given, { custom: hostile as Record<string, unknown> });
      const found = await loaded(store, id);
      const text = JSON.stringify(hostile);
      check_same(JSON.stringify((found.messages[0] as Message & { hostile?: object }).hostile), text, "in a message");
      check_same(JSON.stringify(found.metadata.custom), text, "in the metadata");
      check(({} as { polluted?: number }).polluted === undefined, "Object.prototype was changed");
    },
  },
  {
    group,
    name: "an id of every kind is stored under that id alone, or refused with invalid_id",
    async run({ store }) {
      const kept: string[] = [];
      for (const id of HOSTILE_IDS) {
        const outcome = await outcome_of(store.save(id, messages(id)));
        check(outcome === "done" || outcome === "invalid_id", `save of ${JSON.stringify(id)}: ${outcome}`);
        if (outcome === "done") {
          kept.push(id);
        }
      }
      for (const id of kept) {
        check_same((await loaded(store, id)).messages.map(text_of), [id], `session ${JSON.stringify(id)}`);
      }
      check_same((await store.list()).map(({ id }) => id).sort(), [...kept].sort(), "the list");
      for (const id of kept) {
        check_same(await store.delete(id), true, `delete of ${JSON.stringify(id)}`);
      }
      check_same(await store.list(), [], "the list when all are deleted");
    },
  },
  {
    group,
    name: "a message of a megabyte, and one that is deeply nested",
    async run({ store }) {
      const id = new_id();
      let nested: unknown = "end";
      for (let depth = 0; depth < 200; depth += 1) {
        nested = depth % 2 === 0 ? [nested] : { in: nested };
      }
      const given = [message("x".repeat(1_000_000)), message("deep", { nested })];
      await store.save(id, given);
      check_same((await loaded(store, id)).messages, given, "messages");
    },
  },
  {
    group,
    name: "what JSON cannot hold is refused, and the session stays as it was",
    needs: ["rules"],
    async run({ store }) {
      const [id, given] = [new_id(), messages("one")];
      await store.save(id, given);
      const cyclic: Record<string, unknown> = {};
      cyclic["self"] = cyclic;
      const outcome = await outcome_of(store.save(id, [message("two", { cyclic })]));
      check(outcome === "invalid_input", `a cyclic message: ${outcome}`);
      check_same((await loaded(store, id)).messages, given, "messages");
    },
  },
];

function text_of(one: Message): string {
  const [first] = one.content;
  return first?.type === "text" ? first.text : "";
}
