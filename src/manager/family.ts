import type { SessionError } from "../errors.js";
import { StoredState, type SessionState } from "./session-state.js";

/**
 * Everything that a manager shares with the managers of its children, and with theirs. Sessions and children that
 * nothing refers to any more are not kept alive.
 */
export class Family<Queue extends { readonly dirty: ReadonlySet<SessionState> }> {
  /** Queues with tasks, draft writes or sessions that are not stored. */
  readonly at_work = new Set<Queue>();
  /** Ids of sessions that were written since they were last flushed. */
  readonly unflushed = new Set<string>();
  /** Sessions with a turn that cannot be stored. */
  readonly #unstorable = new Set<WeakRef<SessionState>>();
  /** The content of messages that cannot be stored and were reported. */
  readonly #reported = new WeakSet();
  readonly #states = new Map<string, WeakRef<StoredState>>();
  readonly #collected = new FinalizationRegistry<string>((id) => {
    if (this.#states.get(id)?.deref() === undefined) {
      this.#states.delete(id);
    }
  });

  /** Returns the one object with the facts about a session id. */
  state_of(id: string): StoredState {
    let state = this.#states.get(id)?.deref();
    if (state === undefined) {
      state = new StoredState(id);
      this.#states.set(id, new WeakRef(state));
      this.#collected.register(state, id);
    }
    return state;
  }

  /** Notes a turn that cannot be stored. Returns true the first time. */
  note_unstorable(state: SessionState, content: unknown): boolean {
    this.#unstorable.add(new WeakRef(state));
    if (typeof content !== "object" || content === null) {
      return true;
    }
    const is_new = !this.#reported.has(content);
    this.#reported.add(content);
    return is_new;
  }

  /** Returns why a turn that a conversation still holds cannot be stored. */
  unstorable_turn(): SessionError | undefined {
    for (const ref of this.#unstorable) {
      const state = ref.deref();
      const is_over = state === undefined || state.shared.deletion === "done" || state.history.conversation.is_detached;
      const reason = is_over ? undefined : state.history.reason_left_out();
      if (reason !== undefined) {
        return reason;
      }
      this.#unstorable.delete(ref);
    }
    return undefined;
  }

  /** Returns the sessions under these ids that are not stored yet, with the queues that write them. */
  dirty_states(ids: readonly string[]): [Queue, SessionState][] {
    const wanted = new Set(ids);
    return [...this.at_work].flatMap((queue) =>
      [...queue.dirty].filter(({ id }) => wanted.has(id)).map((state): [Queue, SessionState] => [queue, state]),
    );
  }
}
