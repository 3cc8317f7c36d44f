import type { Answer, Call, Session } from "./history.js";

/** Sessions by id, as a store that does one thing after another would have them. */
export type Sessions = ReadonlyMap<string, Session>;

export interface Leniency {
  /**
   * A call that failed may have lost its lock. What a call has written that failed with `storage` may stay or be taken
   * back. What a call has written that failed with `conflict` is taken back. Others may have read it in between.
   */
  locks_are_broken: boolean;
  /** What was read is not among the calls: a revision that only a reader can have seen fits. */
  reads_are_missing?: boolean;
}

/**
 * Whether there is an order of the calls, each at one moment between its beginning and its end, in which a store that
 * does one thing after another would have answered the same. What was never answered may have happened or not.
 */
export function is_linearizable(before: Sessions, calls: readonly Call[], leniency: Leniency): boolean {
  const seen = new Set<string>();
  const visit = (state: Sessions, left: readonly Call[]): boolean => {
    if (left.every(({ ended }) => ended === undefined)) {
      return true;
    }
    const key = `${left.map((call) => calls.indexOf(call)).join()} ${JSON.stringify([...state])}`;
    if (seen.has(key)) {
      return false;
    }
    seen.add(key);
    const first_end = Math.min(...left.map(({ ended }) => ended ?? Infinity));
    return left
      .filter(({ began }) => began <= first_end)
      .some((call) => {
        const rest = left.filter((other) => other !== call);
        return outcomes(state, call, leniency).some((after) => {
          const { answer } = call;
          const has_failed = answer?.kind === "failed" && after !== state;
          return (
            (!(has_failed && answer.code === "conflict") && visit(after, rest)) ||
            (has_failed && taken_back(state, after, call, rest))
          );
        });
      });
  };
  /** Whether it helps that a failed call had an effect until it was taken back, and was read by others meanwhile. */
  const taken_back = (state: Sessions, after: Sessions, { id }: Call, left: readonly Call[]): boolean =>
    left.some((reader) => {
      const is_read = reader.id === id && /^(load|list)$/.test(reader.asked.kind);
      const [read] = is_read ? outcomes(after, reader, leniency) : [];
      const rest = left.filter((other) => other !== reader);
      return read !== undefined && (visit(state, rest) || taken_back(state, read, reader, rest));
    });
  return visit(before, calls);
}

/** What the sessions may be after this call; nothing, where it cannot have been answered like this now. */
function outcomes(state: Sessions, call: Call, { locks_are_broken, reads_are_missing = false }: Leniency): Sessions[] {
  const { answer, asked } = call;
  const old = state.get(call.id);
  const { revision } = old ?? {};
  if (reads_are_missing && old !== undefined && revision === undefined && "revision" in asked) {
    const seen = new Map(state).set(call.id, { ...old, revision: asked.revision ?? undefined });
    return [state, seen].flatMap((one) => outcomes(one, call, { locks_are_broken }));
  }
  if (answer === undefined) {
    const done = effect(state, call, undefined);
    return done === undefined ? [state] : [state, done];
  }
  if (answer.kind !== "failed") {
    const done = effect(state, call, answer);
    return done === undefined ? [] : [done];
  }
  if (/^(conflict|storage)$/.test(answer.code) && locks_are_broken) {
    const done = effect(state, call, undefined);
    return done === undefined ? [state] : [state, done];
  }
  return is_refused(state.get(call.id), call, answer.code) ? [state] : [];
}

function is_refused(session: Session | undefined, { asked }: Call, code: string): boolean {
  switch (asked.kind) {
    case "append":
      return session === undefined ? code === "not_found" : code === "conflict" && session.revision !== asked.revision;
    case "replace":
      if (asked.revision === null) {
        return session !== undefined && code === "conflict";
      }
      return session === undefined ? code === "not_found" : code === "conflict" && session.revision !== asked.revision;
    default:
      return false;
  }
}

/** `undefined`: it cannot take effect, or cannot be answered like this. */
function effect(state: Sessions, { id, asked }: Call, answer: Answer | undefined): Sessions | undefined {
  const old = state.get(id);
  const revision = answer?.kind === "revision" ? answer.revision : undefined;
  const put = (session: Session | undefined) => {
    const after = new Map(state);
    if (session === undefined) {
      after.delete(id);
    } else {
      after.set(id, session);
    }
    return after;
  };
  const existed = (found: boolean) => answer === undefined || (answer.kind === "found" && answer.existed === found);
  switch (asked.kind) {
    case "append":
      return old?.revision === asked.revision
        ? put({ ...old, texts: [...old.texts, ...asked.texts], revision })
        : undefined;
    case "replace":
      return (asked.revision === null ? old === undefined : old?.revision === asked.revision)
        ? put({ texts: asked.texts, label: old?.label, revision })
        : undefined;
    case "save":
      return put({ texts: asked.texts, label: old?.label, revision: undefined });
    case "update":
      if (!existed(old !== undefined)) {
        return undefined;
      }
      return old === undefined ? state : put({ ...old, label: asked.label });
    case "delete":
      return existed(old !== undefined) ? put(undefined) : undefined;
    case "flush":
      return state;
    case "load": {
      const found = answer?.kind === "session" ? answer.session : undefined;
      if (found === undefined || old === undefined) {
        return found === old ? state : undefined;
      }
      const is_same = found.label === old.label && JSON.stringify(found.texts) === JSON.stringify(old.texts);
      const is_same_revision = old.revision === undefined || old.revision === found.revision;
      return is_same && is_same_revision ? put({ ...old, revision: found.revision }) : undefined;
    }
    case "list": {
      const found = answer?.kind === "entry" ? answer.entry : undefined;
      if (found === undefined || old === undefined) {
        return found === old ? state : undefined;
      }
      return found.label === old.label && found.message_count === old.texts.length ? state : undefined;
    }
  }
}
