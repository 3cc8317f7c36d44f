import { InMemorySessionStore, type SessionManagerOptions, type SessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { texts, turns } from "../support/messages.js";
import { open_backend, open_plain } from "../support/open-session.js";
import { RecordingStore } from "../support/recording-store.js";
import { T } from "./operations/rewind-session.js";
import { each_file_store, fork_after, history_of, said } from "../support/histories.js";

type Opened = ReturnType<typeof open_plain>;

interface Step {
  options?: SessionManagerOptions;
  run: (opened: Opened) => Promise<unknown>;
}

const replaced = async ({ manager, conversation }: Opened) => {
  conversation.clear();
  conversation.turn("new");
  await manager.flush();
};

/** What a manager does that holds the session `s` of three turns, which has a fork behind its fifth message. */
const STEPS = {
  delete: { run: ({ manager }) => manager.delete("s") },
  cascade: { run: ({ manager }) => manager.delete("s", { forks: "cascade" }) },
  rewind: { run: ({ manager }) => manager.rewind("a1") },
  clear: { run: replaced },
  overwrite: { options: { on_replace: "overwrite" }, run: replaced },
  turn: {
    run: async ({ manager, conversation }) => {
      conversation.turn("one more");
      await manager.save();
    },
  },
  child: {
    run: async ({ manager, conversation }) => {
      conversation.spawn().turn("of the child");
      conversation.turn("beside the child");
      await manager.flush();
    },
  },
  fork: {
    run: async ({ manager, conversation }) => {
      await manager.fork("s", { message_id: "a2" });
      conversation.turn("in the fork");
      await manager.flush();
    },
  },
} satisfies Record<string, Step>;

type Name = keyof typeof STEPS;

/** `first` waits before each of its calls of the store in turn, and meanwhile all of `second` happens. */
const PAIRS: [rule: number, first: Name, second: Name][] = [
  ...(["turn", "child", "fork"] as const).flatMap((first) =>
    (["turn", "child", "fork"] as const).map((second): [number, Name, Name] => [9, first, second]),
  ),
  ...(["clear", "overwrite"] as const).flatMap((replace) =>
    (["turn", "child", "fork"] as const).flatMap((other): [number, Name, Name][] => [
      [10, replace, other],
      [10, other, replace],
    ]),
  ),
  [10, "clear", "clear"],
  [10, "overwrite", "clear"],
  ...(["delete", "cascade"] as const).flatMap((removal) =>
    (["turn", "child", "fork", "rewind", "clear"] as const).flatMap((other): [number, Name, Name][] => [
      [11, removal, other],
      [11, other, removal],
    ]),
  ),
  ...(["turn", "child", "fork", "clear"] as const).flatMap((other): [number, Name, Name][] => [
    [16, "rewind", other],
    [16, other, "rewind"],
  ]),
  [16, "rewind", "rewind"],
  [16, "overwrite", "rewind"],
];

const MAX_CALLS = 60;
const CALLS = ["list", "load", "save", "delete", "append", "replace", "update", "flush"] as const;

async function histories(store: SessionStore): Promise<Map<string, string[] | string>> {
  const found = new Map<string, string[] | string>();
  for (const { id } of await store.list()) {
    const history = await history_of(store, id).catch(reason_of);
    found.set(id, history ?? "there are no messages");
  }
  return found;
}

function reason_of(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
}

const begins_with = (history: string[] | string, beginning: string[]) =>
  Array.isArray(history) && beginning.every((text, at) => history[at] === text);

/** What is wrong in the end, with `second` before the nth call of `first`; `undefined` once there is no such call. */
async function interleave(first: Name, second: Name, nth: number): Promise<string[] | undefined> {
  const store = new InMemorySessionStore();
  await store.save("s", turns(3), { kind: "root", label: "mine" });
  const late = await fork_after(store, "s", 5, "late");
  const recording = new RecordingStore(store);
  const steps: [Step, Step] = [STEPS[first], STEPS[second]];
  const [a, b] = [open_plain(recording, steps[0].options), open_plain(store, steps[1].options)];
  await a.manager.load("s");
  await b.manager.load("s");
  const held = recording.hold(CALLS, { nth });
  const ignored = () => undefined; // what rejects has changed nothing, and that is looked at
  let has_ended = false;
  const running = steps[0].run(a).then(ignored, ignored);
  void running.then(() => (has_ended = true));
  await Promise.race([held.reached, running]);
  if (has_ended) {
    return undefined;
  }
  await steps[1].run(b).then(ignored, ignored);
  held.release();
  await running;
  await Promise.all([a.manager.flush(), b.manager.flush()]);
  return wrongs(store, late, { first, second, opened: [a, b] });
}

async function wrongs(
  store: SessionStore,
  late: string,
  { first, second, opened }: { first: Name; second: Name; opened: Opened[] },
): Promise<string[]> {
  const found = await histories(store);
  const all = [...found.values()];
  const names = [first, second];
  const wrong = all.filter((history): history is string => typeof history === "string");
  const is_deleted = names.includes("delete") || names.includes("cascade");
  if (!is_deleted && !names.includes("overwrite") && !all.some((history) => begins_with(history, T(3)))) {
    wrong.push("what was stored is gone");
  }
  const late_history = found.get(late);
  if (!names.includes("cascade") && String(late_history) !== String([...T(3).slice(0, 5), ...said("late")])) {
    wrong.push(`the fork has become: ${String(late_history)}`);
  }
  for (const { manager, conversation } of opened) {
    const id = manager.current_session_id;
    const is_gone = id === undefined || (is_deleted && !found.has(id));
    const own = texts(conversation.messages) ?? [];
    const is_unsaid = !own.some((text) => /^(one more|beside|in the|new)/.test(text)); // it showed what was stored
    if (!is_gone && !is_unsaid && !all.some((history) => begins_with(history, own))) {
      wrong.push(`no session holds: ${String(own)}`);
    }
  }
  return wrong;
}

test.each(PAIRS)("rule %i: %s, and %s of another manager at any moment: nothing is lost", async (_, first, second) => {
  const wrong: string[] = [];
  for (let nth = 1; ; nth += 1) {
    const found = await interleave(first, second, nth);
    if (found === undefined) {
      break;
    }
    wrong.push(...found.map((what) => `before call ${nth}: ${what}`));
    expect(nth).toBeLessThan(MAX_CALLS);
  }
  expect(wrong).toEqual([]);
});

each_file_store((backend) => {
  test.each(["keep", "cascade"] as const)(
    'rules 8.9 and 11: a fork that is made while its parent is deleted (forks: "%s") is whole, or gone',
    async (forks) => {
      const opened = await open_backend(backend);
      await opened.store.save("s", turns(3), { kind: "root" });
      const recording = new RecordingStore(opened.store);
      const other = (await opened.reopen?.()) ?? opened.store;
      const [first, second] = [open_plain(recording), open_plain(other)];
      const held = recording.hold("delete", { id: "s" });
      const deleted = first.manager.delete("s", { forks });
      await held.reached;
      const fork = await second.manager.fork("s", { message_id: "a2" });
      second.conversation.turn("in the fork");
      await second.manager.flush();
      held.release();
      expect(await deleted).toBe(true);
      if (forks === "keep" || (await other.load(fork)) !== undefined) {
        expect(await history_of(other, fork)).toEqual([...T(2), ...said("in the fork")]);
      }
    },
  );
});
