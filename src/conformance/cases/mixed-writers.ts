import { next_turn } from "../../async/timers.js";
import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata, SessionStore } from "../../types.js";
import type { ConformanceCase } from "../types.js";
import {
  check,
  check_same,
  listed,
  loaded,
  messages,
  new_id,
  outcome_of,
  revision_of,
  type Capable,
} from "../check.js";
import { append_all, second, start_gate } from "./concurrency.js";

const group = "concurrency";
const ROUNDS = 4;
const CHANGES = 12;

/** One writer appends, another one changes metadata: what either is told is there. */
async function append_beside_updates(one: SessionStore, other: SessionStore): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const id = new_id();
    await one.save(id, []);
    const gate = start_gate();
    const keys = Array.from({ length: CHANGES }, (_, n) => `key_${n}`);
    const appending = gate.wait.then(() => append_all(one, id, 0));
    const updating = gate.wait.then(async () => {
      for (const key of keys) {
        check(await (other as Capable).update(id, { [key]: key }), "update: there is no such session");
      }
    });
    gate.open();
    const [done] = await Promise.all([appending, updating]);
    const found = await loaded(one, id);
    check_same(
      found.messages.map((each) => each.id),
      done,
      "the messages that were acknowledged",
    );
    const metadata = found.metadata as SessionMetadata & Record<string, unknown>;
    check_same(
      keys.filter((key) => metadata[key] !== key),
      [],
      "keys that are lost",
    );
    check_same((await listed(one, id))?.message_count, done.length, "the message_count in the list");
  }
}

/** The second begins a little later each round. */
async function a_little_later<T>(ticks: number, task: () => Promise<T>): Promise<T> {
  for (let n = 0; n < ticks; n += 1) {
    await Promise.resolve();
  }
  return task();
}

async function write_beside_delete(
  one: SessionStore,
  other: SessionStore,
  write: (store: Capable, id: string, revision: string) => Promise<unknown>,
): Promise<void> {
  for (let round = 0; round < ROUNDS * 4; round += 1) {
    const id = new_id();
    await one.save(id, messages("one"));
    const revision = await revision_of(one, id);
    const ticks = Math.floor(round / 2);
    const is_deleted_first = round % 2 === 0;
    const [written, deleted] = await Promise.all([
      outcome_of(a_little_later(is_deleted_first ? ticks : 0, () => write(one as Capable, id, revision))),
      outcome_of(a_little_later(is_deleted_first ? 0 : ticks, () => other.delete(id))),
    ]);
    check(["done", "not_found", "conflict"].includes(written), `the write beside the delete: ${written}`);
    check_same(deleted, "done", "the delete");
    check_same(await one.load(id), undefined, "the session that was deleted");
    check_same(await listed(other, id), undefined, "its entry in the list");
  }
}

const append_one = (store: Capable, id: string, revision: string) => store.append(id, messages("two"), { revision });
const update_label = (store: Capable, id: string) => store.update(id, { label: "l" });

export const MIXED_WRITERS: readonly ConformanceCase[] = [
  {
    group,
    name: "appends beside updates: nothing acknowledged is lost",
    needs: ["append", "update"],
    run: ({ store }) => append_beside_updates(store, store),
  },
  {
    group,
    name: "appends beside updates through another instance: nothing acknowledged is lost",
    needs: ["append", "update", "open_second"],
    async run(fixture) {
      const [one, other] = (await second(fixture)) as [SessionStore, SessionStore];
      await append_beside_updates(one, other);
    },
  },
  {
    group,
    name: "an append beside a delete leaves the session deleted",
    needs: ["append"],
    run: ({ store }) => write_beside_delete(store, store, append_one),
  },
  {
    group,
    name: "an append beside a delete through another instance leaves the session deleted",
    needs: ["append", "open_second"],
    async run(fixture) {
      const [one, other] = (await second(fixture)) as [SessionStore, SessionStore];
      await write_beside_delete(one, other, append_one);
    },
  },
  {
    group,
    name: "an update beside a delete leaves the session deleted",
    needs: ["update", "revision"],
    run: ({ store }) => write_beside_delete(store, store, update_label),
  },
  {
    group,
    name: "appends, updates, flushes, loads and lists of several sessions at once: nothing is lost or torn",
    needs: ["append", "update"],
    run: ({ store }) => everything_at_once(store as Capable),
  },
  {
    group,
    name: "who reads beside saves finds messages and metadata of one of them",
    needs: ["rules"],
    run: ({ store }) => read_beside_saves(store, store),
  },
  {
    group,
    name: "who reads beside saves of another instance finds messages and metadata of one of them",
    needs: ["rules", "open_second"],
    async run(fixture) {
      const [one, other] = (await second(fixture)) as [SessionStore, SessionStore];
      await read_beside_saves(one, other);
    },
  },
];

/** Each save has its number in the metadata, and as many messages as that says. */
async function read_beside_saves(writer: SessionStore, reader: SessionStore): Promise<void> {
  const id = new_id();
  const texts = (n: number) => Array.from({ length: (n * 7) % 5 }, (_, of) => `text ${n} ${of}`);
  const save = (n: number) => writer.save(id, messages(...texts(n)), { model: `${n}` });
  const numbers = new Map<string, string | undefined>();
  await save(0);
  let is_done = false;
  const saving = (async () => {
    for (let n = 1; n <= 2 * CHANGES; n += 1) {
      await save(n);
    }
  })().finally(() => (is_done = true));
  const reading = (async () => {
    for (let read = 0; read < 2_000 && !is_done; read += 1) {
      const { messages: found, metadata, revision } = await loaded(reader, id);
      const { model, message_count } = metadata;
      const expected = texts(Number(model));
      check_same(found.map(text_of), expected, `the messages beside the metadata of save ${model}`);
      check_same(message_count, expected.length, `the message_count beside the metadata of save ${model}`);
      if (revision !== undefined) {
        check_same(model, numbers.has(revision) ? numbers.get(revision) : model, "the save that has this revision");
        numbers.set(revision, model);
      }
      await next_turn();
    }
  })();
  await Promise.all([saving, reading]);
}

function text_of(one: Message): string | undefined {
  const [first] = one.content;
  return first?.type === "text" ? first.text : undefined;
}

type Call = (id: string, n: number) => Promise<unknown>;

/** Two hundred calls, none of which waits for another. */
async function everything_at_once(store: Capable): Promise<void> {
  const ids = Array.from({ length: 5 }, () => new_id());
  await Promise.all(ids.map((id) => store.save(id, messages(`${id} begins`))));
  const appended = new Map<string, string[]>(ids.map((id) => [id, []]));
  const calls: Call[] = [
    async (id, n) => appended.get(id)?.push(await append_once(store, id, `${id} ${n}`)),
    (id, n) => store.update(id, { [`key_${n}`]: n }),
    async (id, n) => store.flush?.(n % 2 === 0 ? id : undefined),
    async (id) => check_same(text_of((await loaded(store, id)).messages[0] as Message), `${id} begins`, "what is read"),
    async () => {
      for (let n = 0; n < 3; n += 1) {
        check_same((await store.list()).length, ids.length, "the sessions in a list beside writes");
      }
    },
  ];
  const kinds = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4];
  await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      (calls[kinds[Math.floor(n / 5) % 10] as number] as Call)(ids[n % 5] as string, n),
    ),
  );
  for (const id of ids) {
    const { messages: found, metadata } = await loaded(store, id);
    check_same(found.map(text_of).sort(), [`${id} begins`, ...(appended.get(id) ?? [])].sort(), "the messages");
    const keys = Object.keys(metadata).filter((key) => key.startsWith("key_"));
    check_same(keys.length, 12, "the keys that updates have written");
  }
}

async function append_once(store: Capable, id: string, text: string): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await outcome_of(store.append(id, messages(text), { revision: await revision_of(store, id) }));
    if (outcome === "done") {
      return text;
    }
    check(outcome === "conflict" && attempt < 2_000, `append: ${outcome}`);
  }
}
