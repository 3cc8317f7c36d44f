import type { SessionManagerOptions } from "@simulacra-ai/session";
import { seeded_random } from "../../support/random.js";
import { describe_call, type Action, type Answer, type Call, type FaultyMethods, type SessionRef } from "./calls.js";

export const STORE_KINDS = ["memory", "memory-no-revisions", "four-method", "rows", "json", "ndjson"] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

/** Methods beside the basic four that a store may do without. */
export type Optional = "update" | "flush" | "set_draft";

/** `auto_start`: a turn without a session begins one. */
export type Options = Required<Omit<SessionManagerOptions, "auto_slug">> & { auto_start: boolean };

/** One sequence, and all that it runs with. */
export interface Plan {
  seed: number;
  store: StoreKind;
  /** Each user has a store object of its own, over the same sessions; for files. */
  has_own_stores: boolean;
  without: Optional[];
  users: 1 | 2;
  /** At most so many rounds of the event loop before a store's call takes effect, and after it. */
  latency: number;
  provider: "awaiting" | "streaming";
  options: Options;
  calls: Call[];
}

type Random = ReturnType<typeof seeded_random>;

const ANSWERS: Answer[] = ["ok", "ok", "ok", "ok", "slow", "slow", "fail_request", "fail_stream", "hang"];
const FAULTY: FaultyMethods[] = [
  "saves",
  "saves",
  "saves",
  "all",
  "all",
  "reads",
  "update",
  "set_draft",
  "delete",
  "flush",
];
const NONE: Action = { op: "nothing" };

/** The calls, each with its weight. */
const DRAWN: { weight: number; draw: (random: Random) => Action }[] = [
  { weight: 6, draw: () => ({ op: "cancel" }) },
  { weight: 8, draw: ({ below }) => ({ op: "start_new", ...(below(3) === 0 && { label: `label ${below(9)}` }) }) },
  {
    weight: 14,
    draw: (random) => ({ op: "load", session: random.below(6) === 0 ? undefined : session(random) }),
  },
  {
    weight: 9,
    draw: (random) => ({
      op: "fork",
      session: session(random),
      detached: random.below(4) === 0,
      ...(random.below(3) === 0 && { message: message(random) }),
    }),
  },
  { weight: 8, draw: (random) => ({ op: "rewind", message: message(random) }) },
  { weight: 5, draw: (random) => ({ op: "rename", session: session(random), label: `name ${random.below(9)}` }) },
  {
    weight: 7,
    draw: (random) => ({
      op: "delete",
      session: session(random),
      forks: random.pick(["keep", "keep", "refuse", "cascade"] as const),
    }),
  },
  { weight: 8, draw: ({ below }) => ({ op: "save", ...(below(2) === 0 && { custom: below(9) }) }) },
  { weight: 1, draw: () => ({ op: "list" }) },
  { weight: 6, draw: () => ({ op: "flush" }) },
  { weight: 3, draw: () => ({ op: "resume_draft" }) },
  { weight: 2, draw: () => ({ op: "discard_draft" }) },
  { weight: 5, draw: ({ below }) => ({ op: "spawn_child", inherits: below(2) === 0 }) },
  { weight: 6, draw: (random) => ({ op: "child_turn", child: random.below(4), answer: random.pick(ANSWERS) }) },
  { weight: 1, draw: ({ below }) => ({ op: "cancel_child", child: below(4) }) },
  { weight: 2, draw: ({ below }) => ({ op: "dispose_child", child: below(4) }) },
  { weight: 3, draw: (random) => ({ op: "checkpoint", how: random.pick(["ok", "ok", "fail", "stuck"] as const) }) },
  { weight: 3, draw: () => ({ op: "clear" }) },
  {
    weight: 5,
    draw: (random) => ({
      op: "edit",
      how: random.pick(["cut", "leave_out", "own"] as const),
      at: random.below(8),
    }),
  },
  {
    weight: 2,
    draw: (random) => ({
      op: "bad_listener",
      event: random.pick(["load", "save", "conflict", "lifecycle_error", "dispose"] as const),
      how: random.pick(["throw", "reject"] as const),
    }),
  },
  {
    weight: 4,
    draw: (random) => ({
      op: "reopen",
      how: random.pick(["sync", "async"] as const),
      same_conversation: random.below(3) === 0,
    }),
  },
  { weight: 12, draw: draw_fault },
  { weight: 4, draw: () => NONE },
];

function draw_fault(random: Random): Action {
  return {
    op: "fault",
    methods: random.pick(FAULTY),
    when: random.pick(["before", "after"] as const),
    skip: Math.max(0, random.below(7) - 3),
    times: random.pick([1, 1, 1, 2, 3, 8]),
  };
}

function session(random: Random): SessionRef {
  const draw = random.below(12);
  return draw < 3 ? "current" : draw === 3 ? "unknown" : draw === 4 ? "child" : random.below(8);
}

function message(random: Random): "unknown" | number {
  return random.below(10) === 0 ? "unknown" : random.below(10);
}

/** Draws a sequence: for each seed some of the calls and not others, so that different ones come together. */
export function draw_plan(seed: number, stores: readonly StoreKind[] = STORE_KINDS): Plan {
  const random = seeded_random(seed);
  const { below, pick } = random;
  const wanted = pick(["memory", "memory", "memory", "memory", ...STORE_KINDS] as const);
  const store = stores.includes(wanted) ? wanted : pick(stores);
  const users = below(3) === 0 ? 2 : 1;
  const chosen = DRAWN.filter(() => below(5) < 3);
  const weighted = [...chosen, TURNS].flatMap(({ weight, draw }) =>
    Array<(random: Random) => Action>(weight).fill(draw),
  );
  const awaited_of_ten = pick([0, 2, 2, 5, 8]);
  const longest_pause = pick([0, 1, 3, 6]);
  const call = (action: Action): Call => ({
    ...action,
    user: users === 2 && below(2) === 0 ? 1 : 0,
    is_awaited: below(10) < awaited_of_ten,
    pause: below(2) === 0 ? 0 : below(longest_pause + 1),
  });
  const is_first_write_faulty = chosen.some(({ draw }) => draw === draw_fault) && below(3) === 0;
  const begins = [
    ...(is_first_write_faulty ? [call(draw_fault(random))] : []),
    ...(below(5) > 0 ? [call({ op: "start_new" })] : []),
  ];
  const length = below(3) > 0 ? 4 + below(12) : 12 + below(28);
  return {
    seed,
    store,
    has_own_stores: below(3) === 0,
    without: (["update", "flush", "set_draft"] as const).filter(() => below(4) === 0),
    users,
    latency: pick([0, 1, 1, 2, 3, 3, 6]),
    provider: pick(["awaiting", "streaming"] as const),
    options: {
      on_replace: below(4) === 0 ? "overwrite" : "keep",
      on_conflict: below(5) === 0 ? "error" : "fork",
      auto_save: below(8) > 0,
      drafts: below(3) > 0,
      draft_interval_ms: pick([0, 0, 1, Infinity]),
      auto_start: below(5) === 0,
    },
    calls: [...begins, ...Array.from({ length }, () => call(pick(weighted)(random)))],
  };
}

const TURNS = { weight: 30, draw: (random: Random): Action => ({ op: "turn", answer: random.pick(ANSWERS) }) };

/** The sequence as a reader would write it, a line for each call. */
export function describe_plan({ calls, ...rest }: Plan): string {
  const { seed, store, has_own_stores, without, users, latency, provider, options } = rest;
  const kind = `${store}${has_own_stores ? ", a store for each" : ""}${without.length > 0 ? `, without ${without.join()}` : ""}`;
  return [
    `seed ${seed}: ${kind}; ${users} users; latency ${latency}; ${provider} provider`,
    `options ${JSON.stringify(options, (_key, value: unknown) => (value === Infinity ? "Infinity" : value))}`,
    ...calls.map((call, n) => `  ${n + 1}. ${describe_call(call)}`),
  ].join("\n");
}
