import fc from "fast-check";

/** What a user of a manager does. Sessions are meant by when they were first seen, messages by their place. */
export type Action =
  | { op: "turn" }
  /** A turn that does not come to its end: its draft stays. */
  | { op: "broken_turn"; how: "request" | "stream" | "cancel" }
  | { op: "resume_draft" }
  | { op: "discard_draft" }
  | { op: "child"; inherits: boolean; turns: number }
  | { op: "checkpoint" }
  | { op: "start_new"; label: string | undefined }
  | { op: "load"; session: number }
  | { op: "load_newest"; session: number }
  | { op: "fork"; session: number; message: number | undefined; detached: boolean }
  | { op: "rewind"; message: number }
  | { op: "rename"; session: number; label: string; is_awaited: boolean }
  | { op: "save"; custom: number; is_awaited: boolean }
  | { op: "delete"; session: number; forks: "keep" | "refuse" | "cascade" }
  | { op: "clear" }
  | { op: "cut"; message: number }
  | { op: "flush" }
  | { op: "reopen" };

const session = fc.nat(7);
const message = fc.nat(9);
const label = fc.constantFrom("mine", "yours", "");
const is_awaited = fc.boolean();
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 2, nil: undefined });
const op = <Name extends Action["op"]>(name: Name) => fc.constant(name);

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ op: op("turn") }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: op("broken_turn"), how: fc.constantFrom("request", "stream", "cancel") }),
  },
  { weight: 1, arbitrary: fc.record({ op: op("resume_draft") }) },
  { weight: 1, arbitrary: fc.record({ op: op("discard_draft") }) },
  { weight: 1, arbitrary: fc.record({ op: op("child"), inherits: fc.boolean(), turns: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ op: op("checkpoint") }) },
  { weight: 1, arbitrary: fc.record({ op: op("start_new"), label: maybe(label) }) },
  { weight: 3, arbitrary: fc.record({ op: op("load"), session }) },
  { weight: 1, arbitrary: fc.record({ op: op("load_newest"), session }) },
  { weight: 3, arbitrary: fc.record({ op: op("fork"), session, message: maybe(message), detached: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ op: op("rewind"), message }) },
  { weight: 2, arbitrary: fc.record({ op: op("rename"), session, label, is_awaited }) },
  { weight: 2, arbitrary: fc.record({ op: op("save"), custom: fc.nat(9), is_awaited }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: op("delete"), session, forks: fc.constantFrom("keep", "refuse", "cascade") }),
  },
  { weight: 1, arbitrary: fc.record({ op: op("clear") }) },
  { weight: 1, arbitrary: fc.record({ op: op("cut"), message }) },
  { weight: 1, arbitrary: fc.record({ op: op("flush") }) },
  { weight: 2, arbitrary: fc.record({ op: op("reopen") }) },
);

export const ACTIONS = fc.array(action, { minLength: 1, maxLength: 25, size: "max" });

export const MANAGER_OPTIONS = fc.record({
  on_replace: fc.constantFrom("keep" as const, "overwrite" as const),
  auto_save: fc.nat(4).map((n) => n > 0),
});
