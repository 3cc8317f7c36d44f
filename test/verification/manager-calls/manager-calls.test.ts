import type { SessionStore } from "@simulacra-ai/session";
import { InMemorySessionStore } from "@simulacra-ai/session";
import { describe, expect, test } from "vitest";
import type { Action, Call } from "./calls.js";
import type { Kind } from "./ledger.js";
import { draw_plan, type Plan } from "./plan.js";
import { run_plan } from "./run.js";
import { VirtualTime } from "./virtual-time.js";

const OPTIONS: Plan["options"] = {
  ...{ on_replace: "keep", on_conflict: "fork", auto_save: true, auto_start: false },
  ...{ drafts: true, draft_interval_ms: 0 },
};

/** A user who waits for every call, over a store that never fails. */
const PLAN: Plan = {
  ...{ seed: 1, store: "memory", has_own_stores: false, without: [], users: 1, latency: 1, provider: "streaming" },
  options: OPTIONS,
  calls: (
    [
      { op: "start_new" },
      { op: "turn", answer: "slow" },
      { op: "turn", answer: "fail_stream" },
      { op: "turn", answer: "ok" },
      { op: "spawn_child", inherits: false },
      { op: "child_turn", child: 0, answer: "ok" },
      { op: "edit", how: "cut", at: 2 },
      { op: "turn", answer: "ok" },
      { op: "load", session: 0 },
      { op: "save", custom: 1 },
      { op: "flush" },
      { op: "fork", session: "current", detached: false, message: 1 },
      { op: "turn", answer: "ok" },
      { op: "rewind", message: 1 },
    ] satisfies Action[]
  ).map((action): Call => ({ ...action, user: 0, is_awaited: true, pause: 2 })),
};

async function kinds_found(plan: Plan, break_store?: (store: SessionStore) => Partial<SessionStore>): Promise<Kind[]> {
  const time = new VirtualTime();
  time.begin();
  try {
    const store = new InMemorySessionStore();
    const own = {
      list: () => store.list(),
      load: (id) => store.load(id),
      save: (...all) => store.save(...all),
      delete: (id) => store.delete(id),
      append: (...all) => store.append(...all),
      replace: (...all) => store.replace(...all),
      update: (...all) => store.update(...all),
      set_draft: (...all) => store.set_draft(...all),
      flush: async () => undefined,
    } satisfies SessionStore;
    const broken: SessionStore = { ...own, ...break_store?.(own) };
    const open = () => ({ stores: [broken, broken] as [SessionStore, SessionStore], has_revisions: true, without: [] });
    return (await run_plan(plan, time, { open })).map(({ kind }) => kind);
  } finally {
    time.end();
  }
}

const BROKEN: [string, Kind, (store: SessionStore) => Partial<SessionStore>][] = [
  [
    "loses the last message of each append",
    "lost-turn",
    (store) => ({ append: async (id, messages, options) => store.append!(id, messages.slice(0, -1), options) }),
  ],
  [
    "appends everything twice",
    "repeated-turn",
    (store) => ({ append: async (id, messages, options) => store.append!(id, [...messages, ...messages], options) }),
  ],
  [
    "keeps no replaced version",
    "lost-turn",
    (store) => ({
      replace: async (id, messages, options) => {
        const is_version = options.metadata?.label?.endsWith("(replaced)");
        return is_version ? { revision: "none" } : store.replace!(id, messages, options);
      },
    }),
  ],
  ["never answers a flush", "hang", () => ({ flush: () => new Promise(() => undefined) })],
  ["never flushes", "flush-rejected", () => ({ flush: () => Promise.reject(new Error("there is no disk")) })],
  [
    "never cuts a session",
    "wrong-current",
    (store) => ({
      replace: async (id, messages, options) => {
        const stored = await store.load(id);
        const is_cut = messages.length < (stored?.messages.length ?? 0);
        return store.replace!(id, is_cut ? stored!.messages : messages, options);
      },
    }),
  ],
];

describe("the oracle of the manager calls", () => {
  test("rule 1: finds nothing where a user waits for everything", async () => {
    expect(await kinds_found(PLAN)).toEqual([]);
  });

  test.each(BROKEN)("rule 1: sees a store that %s", async (_, kind, break_store) => {
    expect(await kinds_found(PLAN, break_store)).toContain(kind);
  });

  test("rule 1: a seed draws the same sequence each time", () => {
    expect(draw_plan(7)).toEqual(draw_plan(7));
    expect(draw_plan(7)).not.toEqual(draw_plan(8));
  });
});
