import fc from "fast-check";

export const SESSIONS = ["a", "b", "c", "Z"] as const;

/** Dates are few, so that sessions often share one. */
const DATES = [1, 2, 3, 4].map((day) => `2024-01-0${day}T00:00:00.000Z`);
export const FIRST_DATE = "2023-01-01T00:00:00.000Z";

export interface Text {
  text: string;
  /** So long that two of them make a journal worth folding. */
  is_long: boolean;
}

/** Changes one session. Plain data, so that a run can be shrunk and written down. */
export interface Change {
  op: "save" | "append" | "replace" | "update" | "fork" | "rename" | "delete" | "draft" | "drop_draft";
  id: string;
  texts: Text[];
  metadata: Record<string, unknown>;
  /** What `append` and `replace` are given. */
  revision: "right" | "stale" | "null";
  /** False: dates are the store's own. */
  is_dated: boolean;
  /** True: the next command follows at once, while a fold may be under way. */
  in_haste: boolean;
  parent: string;
  /** The messages begin with the prompt of the draft that there is. */
  has_prompt: boolean;
  /** Whose turn a new draft is of: another one's, that of the draft that there is, or one that is over. */
  drafts: "another" | "same" | "over";
  /** Where in the change the machine crashes, from 0 to 1, and in which of the ways that it may; absent: it does not. */
  crash?: { at: number; way: number };
}

export type Command = (
  | { op: "change"; change: Change }
  | { op: "load"; id: string }
  | { op: "list"; query: Query }
  | { op: "flush"; id: string | undefined }
  | { op: "reopen" }
  /** Appends at once behind one that makes the journal worth folding. */
  | { op: "burst"; id: string; changes: Change[] }
) & {
  /** Through which of the two open stores. */
  via: number;
};

export interface Query {
  limit?: number;
  before?: { updated_at: string; id: string };
  parent_id?: string;
  kinds?: ("root" | "fork" | "child" | "checkpoint")[];
}

/** Mostly one and the same, so that much happens to it. */
const id = fc.oneof({ weight: 5, arbitrary: fc.constant(SESSIONS[0]) }, fc.constantFrom(...SESSIONS));
const date = fc.constantFrom(...DATES);

const text: fc.Arbitrary<Text> = fc.record({
  text: fc.oneof(fc.constantFrom("", "\n#0123456789abcdef 3 {}\n", ',\n{"a":1}', "\ud800 \u2028"), fc.string()),
  is_long: fc.nat(14).map((n) => n === 0),
});

const nullable = <T>(value: fc.Arbitrary<T>) => fc.oneof({ weight: 3, arbitrary: value }, fc.constant(null));

/** As an application may give them: `null` removes, and some keys are not for it to set. */
const metadata = fc.record(
  {
    label: nullable(fc.string({ maxLength: 5 })),
    label_source: fc.constantFrom("auto", "user"),
    model: nullable(fc.constantFrom("M", "N")),
    custom: nullable(fc.dictionary(fc.string({ maxLength: 3 }), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 })),
    kind: fc.constantFrom("root", "fork", "child", "checkpoint"),
    parent_id: nullable(id),
    detached: fc.boolean(),
    fork_message_count: nullable(fc.nat(3)),
    checkpoint_state: nullable(fc.constant({ message_id: "m", summary: "s" })),
    usage: fc.record({ requests: fc.nat(3) }),
    unknown_key: nullable(fc.constantFrom<unknown>(0, "", false, [null], { deep: null })),
    damaged: fc.constant("never stored"),
    message_count: fc.constant(99),
    created_at: date,
    id: fc.constant("another"),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Record<string, unknown>>;

const crash = fc.oneof(
  { weight: 7, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), way: fc.nat(1000) }) },
);

/** Each as often as it says. */
const OPS = Object.entries({
  save: 2,
  append: 9,
  replace: 2,
  update: 4,
  fork: 1,
  rename: 1,
  delete: 1,
  draft: 5,
  drop_draft: 1,
}).map(([op, weight]) => ({ weight, arbitrary: fc.constant(op as Change["op"]) }));

const change: fc.Arbitrary<Change> = fc
  .record({
    op: fc.oneof(...OPS),
    id,
    texts: fc.array(text, { maxLength: 3 }),
    metadata,
    updated_at: date,
    revision: fc.constantFrom<Change["revision"][]>("right", "right", "right", "right", "right", "stale", "null"),
    is_dated: fc.nat(9).map((n) => n > 0),
    in_haste: fc.boolean(),
    parent: id,
    has_prompt: fc.nat(2).map((n) => n === 0),
    drafts: fc.constantFrom<Change["drafts"][]>("another", "another", "another", "same", "same", "over"),
    crash,
  })
  .map(({ updated_at, crash: crash_at, ...rest }) => ({
    ...rest,
    metadata: { ...rest.metadata, updated_at },
    ...(crash_at !== undefined && rest.is_dated && { crash: crash_at }),
  }));

const query: fc.Arbitrary<Query> = fc.record(
  {
    limit: fc.nat(4),
    before: fc.record({ updated_at: date, id }),
    parent_id: id,
    kinds: fc.subarray(["root", "fork", "child", "checkpoint"]),
  },
  { requiredKeys: [] },
);

const via = fc.nat(1);

const burst = fc.tuple(id, fc.array(change, { minLength: 2, maxLength: 3 })).map(([of, changes]) => ({
  op: "burst" as const,
  id: of,
  changes: changes.map(({ crash: _crash, ...rest }, n): Change => {
    const texts = n === 0 ? Array.from({ length: 2 }, () => ({ text: "", is_long: true })) : rest.texts.slice(0, 1);
    return { ...rest, op: "append", id: of, texts, revision: "right", is_dated: true, in_haste: true };
  }),
}));

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 14, arbitrary: fc.record({ op: fc.constant("change" as const), change, via }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("load" as const), id, via }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("list" as const), query, via }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant("flush" as const), id: fc.option(id, { nil: undefined }), via }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("reopen" as const), via }) },
  { weight: 1, arbitrary: fc.tuple(burst, via).map(([one, through]) => ({ ...one, via: through })) },
);

const FIRST: Command[] = [SESSIONS[0], SESSIONS[1]].map((first) => ({
  op: "change",
  change: {
    op: "save",
    id: first,
    texts: [{ text: "first", is_long: false }],
    metadata: { updated_at: FIRST_DATE, label: "first" },
    revision: "right",
    is_dated: true,
    in_haste: false,
    parent: first,
    has_prompt: false,
    drafts: "another",
  },
  via: 0,
}));

/** Mostly there is something to begin with. */
export const COMMANDS = fc
  .tuple(fc.nat(4), fc.array(command, { minLength: 1, maxLength: 30, size: "max" }))
  .map(([begin, commands]) => (begin === 0 ? commands : [...FIRST, ...commands]));
