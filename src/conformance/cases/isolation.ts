import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata, SessionStore } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import {
  check,
  check_same,
  code_of,
  listed,
  loaded,
  message,
  messages,
  new_id,
  outcome_of,
  revision_of,
  shown,
  type Capable,
} from "../check.js";
import { MESSAGE_WAYS, needs_of, start_write, WAYS, ways_of, write_by, type Way } from "./ways.js";

const group = "isolation";

/** Texts on which parsers, line formats and encodings fail. */
export const TEXTS = [
  "\u0000 \u001f \u007f",
  "\u2028\u2029\r\n\t\n\n\r",
  "\ufeff byte order, and \ufffe\uffff",
  "\u{1f468}\u200d\u{1f469} e\u0301 '\"\\ ` ${x} %s ?1 $1 :a $[#]",
  "\ud800 alone, and \udc00\ud800 too, half \ud83d of a pair",
  "</script><!-- ]]> \\u0000",
  '\n#0123456789abcdef 10 {"n":1}\n"},\n{"\n]\n}\n,\n"messages": [\n',
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
  "\ud800",
  "x".repeat(180),
];

const FIVE_MEGABYTES = '€x\n#\\"'.repeat(450_000);

/** Overwrites everything in an object, at every depth. */
function spoil(value: unknown): void {
  if (typeof value !== "object" || value === null) {
    return;
  }
  for (const key of Object.keys(value)) {
    spoil((value as Record<string, unknown>)[key]);
    (value as Record<string, unknown>)[key] = "spoilt";
  }
  if (Array.isArray(value)) {
    value.length = 0;
  }
}

const deep_metadata = () => ({ label: "l", custom: { list: [1, { two: 2 }] } });
const deep_messages = () => [message("one"), message("two", { extra: { deep: [1, { two: 2 }] } })];

/** Changes messages and metadata after one of the ways to write. The stored session must not change. */
const input_cases = (way: Way): ConformanceCase[] => [
  {
    group,
    name: `what is handed to ${way} can be changed afterwards`,
    ...(way !== "save" && { needs: [way] }),
    async run({ store }) {
      const [id, given, metadata] = [new_id(), deep_messages(), deep_metadata()];
      await store.save(id, []);
      const expected = way === "update" ? [] : structuredClone(given);
      await write_by(store as Capable, way, id, metadata, given);
      spoil([given, metadata]);
      const found = await loaded(store, id);
      check_same(found.messages, expected, "messages");
      check_same([found.metadata.label, found.metadata.custom], ["l", deep_metadata().custom], "label and custom");
    },
  },
  {
    group,
    name: `${way} takes what it is given as it is at the call`,
    needs: needs_of(way),
    async run({ store }) {
      const [id, given, metadata] = [new_id(), deep_messages(), deep_metadata()];
      await store.save(id, []);
      const revision = (await store.load(id))?.revision ?? "";
      const expected = way === "update" ? [] : structuredClone(given);
      const written = start_write(store as Capable, way, id, { metadata, given, revision });
      spoil([given, metadata]);
      await written;
      const found = await loaded(store, id);
      check_same(found.messages, expected, "messages");
      check_same([found.metadata.label, found.metadata.custom], ["l", deep_metadata().custom], "label and custom");
    },
  },
  {
    group,
    name: `${way} takes frozen input, and does not change it`,
    ...(way !== "save" && { needs: [way] }),
    async run({ store }) {
      const id = new_id();
      await store.save(id, []);
      const given = Object.freeze(deep_messages().map((one) => Object.freeze(one))) as Message[];
      const metadata = Object.freeze(deep_metadata());
      const before = JSON.stringify([given, metadata]);
      await write_by(store as Capable, way, id, metadata, given);
      check_same(JSON.stringify([given, metadata]), before, "what was handed in");
      check_same((await loaded(store, id)).messages, way === "update" ? [] : given, "messages");
    },
  },
];

/** Texts of every kind, in one of the ways to write. */
const text_case = (way: Way): ConformanceCase => ({
  group,
  name: `texts of every kind come back from ${way} as they were`,
  ...(way !== "save" && { needs: [way] }),
  async run({ store }) {
    const id = new_id();
    const given = TEXTS.flatMap((text) => [message(text, { [`key ${text}`]: text }), message(text.repeat(50))]);
    const metadata = {
      label: TEXTS.join(""),
      custom: Object.fromEntries(TEXTS.map((text, n) => [`${n} ${text}`, text])),
    };
    await store.save(id, []);
    await write_by(store as Capable, way, id, metadata, given);
    await store.flush?.(id);
    const found = await loaded(store, id);
    check_same(found.messages, way === "update" ? [] : given, "messages");
    check_same([found.metadata.label, found.metadata.custom], [metadata.label, metadata.custom], "metadata");
    check_same((await listed(store, id))?.custom, metadata.custom, "the list's metadata");
  },
});

export const ISOLATION: readonly ConformanceCase[] = [
  ...WAYS.flatMap(input_cases),
  ...WAYS.map(text_case),
  {
    group,
    name: "what is handed out can be changed",
    async run({ store }) {
      const [id, given] = [new_id(), deep_messages()];
      await store.save(id, given, deep_metadata());
      const read = async () => {
        const { messages: found, metadata } = await loaded(store, id);
        return JSON.stringify([found, metadata, await listed(store, id)]);
      };
      const before = await read();
      const handed_out: unknown[] = [await loaded(store, id), await store.list(), await store.list({ limit: 1 })];
      const other = await loaded(store, id);
      const unharmed = JSON.stringify(other);
      spoil(handed_out);
      check_same(JSON.stringify(other), unharmed, "what another caller was handed");
      check_same(await read(), before, "the session and its list entry");
    },
  },
  {
    group,
    name: "what append and replace return can be changed",
    needs: ["append", "replace"],
    async run({ store }) {
      const id = new_id();
      const { append, replace } = store as Capable;
      const created = await replace.call(store, id, [], { revision: null });
      spoil(created);
      const appended = await append.call(store, id, messages("one"), { revision: await revision_of(store, id) });
      const { revision } = appended;
      spoil(appended);
      check_same(await revision_of(store, id), revision, "the revision");
    },
  },
  {
    group,
    name: "keys such as __proto__ are data, and change nothing else",
    async run({ store }) {
      for (const way of ways_of(store, MESSAGE_WAYS)) {
        const id = new_id();
        const hostile = JSON.parse('{"__proto__":{"polluted":1},"constructor":2,"toJSON":3,"$set":{"a":1}}') as object;
        const given = message("one", { hostile });
        Object.defineProperty(given, "__proto__", { value: { polluted: 1 }, enumerable: true });
        await store.save(id, []);
        await write_by(store as Capable, way, id, { custom: hostile }, [given]);
        const found = await loaded(store, id);
        check_same(JSON.stringify(found.messages), JSON.stringify([given]), `in a message, by ${way}`);
        check_same(JSON.stringify(found.metadata.custom), JSON.stringify(hostile), `in the metadata, by ${way}`);
        check(({} as { polluted?: number }).polluted === undefined, "Object.prototype was changed");
      }
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
      for (const id of HOSTILE_IDS.filter((one) => !kept.includes(one))) {
        await check_nobodys(store, id);
      }
      for (const id of kept) {
        check_same((await loaded(store, id)).messages.map(text_of), [id], `session ${JSON.stringify(id)}`);
      }
      check_same((await store.list()).map(({ id }: SessionMetadata) => id).sort(), [...kept].sort(), "the list");
      for (const id of kept) {
        check_same(await store.delete(id), true, `delete of ${JSON.stringify(id)}`);
      }
      check_same(await store.list(), [], "the list when all are deleted");
    },
  },
  {
    group,
    name: "a message of five megabytes, and one that is deeply nested",
    async run({ store }) {
      const id = new_id();
      let nested: unknown = "end";
      for (let depth = 0; depth < 200; depth += 1) {
        nested = depth % 2 === 0 ? [nested] : { in: nested };
      }
      const [first, second] = [message("deep", { nested }), message(FIVE_MEGABYTES)];
      await store.save(id, [first]);
      const way = ways_of(store, ["append"]).at(0) ?? "save";
      await write_by(store as Capable, way, id, {}, way === "append" ? [second] : [first, second]);
      const found = await loaded(store, id);
      check(JSON.stringify(found.messages) === JSON.stringify([first, second]), "the messages are not those saved");
      check_same((await listed(store, id))?.message_count, 2, "the message_count in the list");
    },
  },
];

/** An id that no session can have is nobody's, or refused there as well. */
export async function check_nobodys(store: SessionStore, id: string): Promise<void> {
  const answer_of = (call: Promise<unknown>) => call.then(shown, (error: unknown) => code_of(error) ?? String(error));
  const [loaded_as, deleted_as] = [await answer_of(store.load(id)), await answer_of(store.delete(id))];
  check(["undefined", "invalid_id"].includes(loaded_as), `load of the id ${shown(id)}: ${loaded_as}`);
  check(["false", "invalid_id"].includes(deleted_as), `delete of the id ${shown(id)}: ${deleted_as}`);
}

function text_of(one: Message): string {
  const [first] = one.content;
  return first?.type === "text" ? first.text : "";
}
