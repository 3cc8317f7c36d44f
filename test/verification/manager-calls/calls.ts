/** Names a session: the current one, one that does not exist, a child's, or one by when it was first seen. */
export type SessionRef = "current" | "unknown" | "child" | number;
/** Names a message by its place in the session, or one that does not exist. */
export type MessageRef = "unknown" | number;

/** How the model answers. `hang`: not before the turn is cancelled. */
export type Answer = "ok" | "slow" | "fail_request" | "fail_stream" | "hang";

export type FaultyMethods = "saves" | "reads" | "update" | "set_draft" | "delete" | "flush" | "all";

export type ManagerEvent = "load" | "save" | "conflict" | "lifecycle_error" | "dispose";

export type Action =
  | { op: "turn"; answer: Answer }
  | { op: "cancel" }
  | { op: "start_new"; label?: string }
  | { op: "load"; session: SessionRef | undefined }
  | { op: "fork"; session: SessionRef; detached: boolean; message?: MessageRef }
  | { op: "rewind"; message: MessageRef }
  | { op: "rename"; session: SessionRef; label: string }
  | { op: "delete"; session: SessionRef; forks: "keep" | "refuse" | "cascade" }
  | { op: "save"; custom?: number }
  | { op: "list" }
  | { op: "flush" }
  | { op: "resume_draft" }
  | { op: "discard_draft" }
  | { op: "spawn_child"; inherits: boolean }
  | { op: "child_turn"; child: number; answer: Answer }
  | { op: "cancel_child"; child: number }
  | { op: "dispose_child"; child: number }
  /** `stuck`: the child that summarizes is cancelled. */
  | { op: "checkpoint"; how: "ok" | "fail" | "stuck" }
  /** The application itself empties the conversation. */
  | { op: "clear" }
  /** The application cuts the conversation, leaves a turn out, or puts messages of its own in. */
  | { op: "edit"; how: "cut" | "leave_out" | "own"; at: number }
  /** A listener that throws, or returns a promise that rejects, once. */
  | { op: "bad_listener"; event: ManagerEvent; how: "throw" | "reject" }
  /** Disposes the manager, and begins another one on the same store. */
  | { op: "reopen"; how: "sync" | "async"; same_conversation: boolean }
  /** The store fails some of its next calls, before or after they take effect. */
  | { op: "fault"; methods: FaultyMethods; when: "before" | "after"; skip: number; times: number }
  | { op: "nothing" };

export type Call = Action & {
  /** Whose conversation and manager. */
  user: 0 | 1;
  /** Waits for what it begins, for a while. */
  is_awaited: boolean;
  /** Rounds of the event loop after it. */
  pause: number;
};

/** The call as a reader would write it. */
export function describe_call(call: Call): string {
  const { user, is_awaited, pause, op, ...rest } = call;
  const details = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}: ${String(value)}`);
  return [
    `${"AB"[user]}: ${is_awaited ? "await " : ""}${op}(${details.join(", ")})`,
    ...(pause > 0 ? [`${pause} rounds`] : []),
  ].join("; ");
}
