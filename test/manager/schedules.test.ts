import { InMemorySessionStore, type SessionManagerOptions, type SessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { assistant, texts, turns, user } from "../support/messages.js";
import { open_plain } from "../support/open-session.js";
import { seeded_random } from "../support/random.js";
import { T } from "./operations/rewind-session.js";
import { Scheduler } from "./scheduled-store.js";
import { fork_after, history_of, said } from "../support/histories.js";

type Opened = ReturnType<typeof open_plain>;

interface Operation {
  what: string;
  options?: SessionManagerOptions;
  /** Takes its session away, with or without what descends from it. */
  removes?: "itself" | "all";
  run: (opened: Opened, id: string, name: string) => Promise<unknown>;
}

/** A turn whose messages have ids, as those of the engine do. */
function turn({ conversation }: Opened, text: string): void {
  conversation.messages.push(user(text, `${text}?`), assistant(`re: ${text}`, `${text}!`));
  conversation.emit("message_complete");
}

async function replace(opened: Opened, name: string, kept: number): Promise<void> {
  opened.conversation.load(opened.conversation.messages.slice(0, kept));
  turn(opened, `new of ${name}`);
  await opened.manager.flush();
}

async function fork(opened: Opened, id: string, name: string, message_id?: string): Promise<void> {
  await opened.manager.fork(id, message_id === undefined ? {} : { message_id });
  turn(opened, `fork of ${name}`);
  await opened.manager.flush();
}

const OPERATIONS: Operation[] = [
  { what: "delete", removes: "itself", run: ({ manager }, id) => manager.delete(id) },
  { what: "cascade", removes: "all", run: ({ manager }, id) => manager.delete(id, { forks: "cascade" }) },
  { what: "rewind", run: ({ manager }) => manager.rewind("a1") },
  { what: "rewind less", run: ({ manager }) => manager.rewind("a2") },
  { what: "clear", run: (opened, _id, name) => replace(opened, name, 0) },
  { what: "cut", run: (opened, _id, name) => replace(opened, name, 3) },
  {
    what: "overwrite",
    options: { on_replace: "overwrite" },
    removes: "itself",
    run: (opened, _id, name) => replace(opened, name, 0),
  },
  {
    what: "turn",
    run: async (opened, _id, name) => {
      turn(opened, `turn of ${name}`);
      await opened.manager.save();
    },
  },
  { what: "fork", run: (opened, id, name) => fork(opened, id, name) },
  { what: "fork early", run: (opened, id, name) => fork(opened, id, name, "a2") },
  {
    what: "save below a parent",
    run: async (opened, _id, name) => {
      opened.manager.start_new();
      opened.conversation.load(turns(3));
      turn(opened, `session of ${name}`);
      await opened.manager.save({ parent_id: "root" });
    },
  },
];

const S = [...T(2), ...texts(turns(2, "f"))!];

/** A root of three turns, a fork of it, and forks of both. */
async function open_family(): Promise<{ store: SessionStore; forks: Map<string, string[]> }> {
  const store = new InMemorySessionStore();
  await store.save("root", turns(3), { kind: "root", label: "mine" });
  const inherited = { parent_id: "root", fork_message_id: "a2", fork_message_count: 4 };
  await store.save("s", turns(2, "f"), { kind: "fork", ...inherited });
  const forks = new Map<string, string[]>();
  for (const [parent, history, count] of [
    ["s", S, 7],
    ["s", S, 3],
    ["root", T(3), 5],
  ] as const) {
    const name = `${parent} ${count}`;
    forks.set(await fork_after(store, parent, count, name), [...history.slice(0, count), ...said(name)]);
  }
  return { store, forks };
}

async function histories(store: SessionStore): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { id } of await store.list()) {
    const history = await history_of(store, id).catch((error: Error) => [`not whole: ${String(error.cause)}`]);
    found.set(id, String(history));
  }
  return found;
}

/** Runs three operations at once, call by call in an order of the seed; tells what is wrong in the end. */
async function run(seed: number): Promise<string[]> {
  const random = seeded_random(seed);
  const { store, forks } = await open_family();
  const scheduler = new Scheduler(random);
  const actors = ["first", "second", "third"].map((name) => {
    const operation = random.pick(OPERATIONS);
    return {
      ...{ name, operation, id: random.pick(["root", "s"]) },
      opened: open_plain(scheduler.wrap(store), operation.options),
    };
  });
  const ignored = () => undefined; // what rejects has lost nothing either, and that is looked at
  await scheduler.run(actors.map(({ opened, id }) => opened.manager.load(id)));
  await scheduler.run(actors.map(({ operation, opened, id, name }) => operation.run(opened, id, name).catch(ignored)));
  await scheduler.run(actors.map(({ opened }) => opened.manager.flush().catch(ignored)));

  const found = await histories(store);
  const all = [...found.values()];
  const wrong = all.filter((history) => history.startsWith("not whole"));
  const is_all_gone = actors.some(({ operation }) => operation.removes === "all");
  const may_be_gone = (id: string) => is_all_gone || actors.some((one) => one.operation.removes && one.id === id);
  const expect_held = (history: readonly string[]) => {
    if (!all.some((other) => other.startsWith(String(history)))) {
      wrong.push(`no session holds: ${String(history)}`);
    }
  };
  if (!may_be_gone("root")) {
    expect_held(T(3));
  }
  if (!may_be_gone("s")) {
    expect_held(S);
  }
  for (const [fork_id, history] of is_all_gone ? [] : forks) {
    if (found.get(fork_id) !== String(history)) {
      wrong.push(`${fork_id} has become: ${String(found.get(fork_id))}`);
    }
  }
  const deletes = actors.some(({ operation }) => operation.what === "delete" || operation.removes === "all");
  for (const { opened, name } of actors) {
    const id = opened.manager.current_session_id;
    const own = texts(opened.conversation.messages) ?? [];
    const is_deleted = id === undefined || (deletes && !found.has(id));
    if (!is_deleted && own.some((text) => text.endsWith(name))) {
      expect_held(own);
    }
  }
  actors.forEach(({ opened }) => opened.manager[Symbol.dispose]());
  const what = actors.map(({ operation, id }) => `${operation.what} ${id}`).join(", ");
  return wrong.map((one) => `seed ${seed} (${what}): ${one}`);
}

const SEEDS = Array.from({ length: 8 }, (_, index) => 1 + 50 * index);

test.each(SEEDS)("rule 16: three managers at once, in any order, lose nothing (seeds from %i)", async (from) => {
  const wrong: string[] = [];
  for (let seed = from; seed < from + 50; seed += 1) {
    wrong.push(...(await run(seed)));
  }
  expect(wrong).toEqual([]);
});
