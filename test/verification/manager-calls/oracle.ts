import type { Message } from "@simulacra-ai/core";
import type { SessionMetadata, SessionStore, StoredSession } from "@simulacra-ai/session";
import type { Ledger, Promised } from "./ledger.js";
import { has_code, reason_of, type ManagerLife } from "./manager-life.js";
import { replies_of, texts_of } from "./texts.js";
import type { User } from "./user.js";

/** A session with all that it inherits. */
interface Resolved {
  metadata: SessionMetadata;
  messages: Message[];
  /** The session and its parents. */
  chain: string[];
}

/** Reads every session from the store itself, and resolves what it inherits in the simplest way there is. */
export async function read_all(store: SessionStore): Promise<Map<string, Resolved>> {
  const records = new Map<string, StoredSession>();
  for (const { id } of await store.list()) {
    const record = await store.load(id);
    if (record !== undefined) {
      records.set(id, record);
    }
  }
  return new Map([...records.keys()].map((id) => [id, resolve(id, records, [])]));
}

function resolve(id: string, records: ReadonlyMap<string, StoredSession>, below: readonly string[]): Resolved {
  const { metadata, messages } = records.get(id) as StoredSession;
  const parent_id = metadata.parent_id ?? undefined;
  if (parent_id === undefined || metadata.detached === true || !records.has(parent_id) || below.includes(parent_id)) {
    return { metadata, messages, chain: [id] };
  }
  const parent = resolve(parent_id, records, [...below, id]);
  const inherited = parent.messages.slice(0, inherited_count(metadata, parent.messages));
  return { metadata, messages: [...inherited, ...messages], chain: [id, ...parent.chain] };
}

function inherited_count({ fork_message_id, fork_message_count }: SessionMetadata, parent: Message[]): number {
  const count = fork_message_count ?? parent.length;
  const id = fork_message_id ?? undefined;
  if (id === undefined || parent[count - 1]?.id === id || count === 0) {
    return count;
  }
  const place = parent.findLastIndex((message) => message.id === id);
  return place < 0 ? count : place + 1;
}

/** Judges a run at rest: every promise, and every manager. */
export async function judge(store: SessionStore, users: readonly User[], ledger: Ledger): Promise<void> {
  const sessions = await read_all(store);
  const histories = [...sessions.values()].map(({ messages }) => replies_of(messages));
  judge_histories(sessions, ledger);
  judge_promises(histories, ledger);
  for (const user of users) {
    judge_current(user, sessions, ledger);
    user.lives.forEach((life) => judge_life(life, ledger));
  }
}

/** Along a chain of parents every turn is there once, its reply behind its prompt. */
function judge_histories(sessions: ReadonlyMap<string, Resolved>, ledger: Ledger): void {
  for (const [id, { messages }] of sessions) {
    const texts = texts_of(messages);
    const replies = replies_of(messages);
    if (new Set(replies).size < replies.length) {
      ledger.find("repeated-turn", `session ${id} resolves to ${texts.join()}`);
    }
    const is_torn = texts.some((text, n) => text.startsWith("r") && texts[n - 1] !== prompt_of(text));
    if (is_torn) {
      ledger.find("repeated-turn", `session ${id} resolves to ${texts.join()}: a reply without its prompt`);
    }
  }
}

function prompt_of(reply: string): string {
  return `t${reply.slice(1).replaceAll("'", "")}`;
}

function judge_promises(histories: readonly string[][], ledger: Ledger): void {
  const stored = new Set(histories.flat());
  const joined = histories.map((history) => `${history.join()},`);
  const reported = new Set<string>();
  for (const promised of ledger.promised) {
    const { reply, history, why, home, manager } = promised;
    if (reported.has(reply) || ledger.given_up.has(reply) || is_in_conflict(promised, ledger)) {
      continue;
    }
    const whose = `${reply} (${why}${home === undefined ? "" : ` in ${home}`})`;
    if (!stored.has(reply)) {
      reported.add(reply);
      ledger.find(promised.had_no_session ? "lost-without-session" : "lost-turn", `${whose} is in no session`);
    } else if (history !== undefined && !history.some((one) => ledger.given_up.has(one))) {
      const is_told_missing = (manager as ManagerLife).has_told("delete", "rewind", "load");
      if (!is_told_missing && !joined.some((one) => one.startsWith(`${history.join()},`))) {
        reported.add(reply);
        ledger.find("lost-history", `no session begins with ${history.join()}: ${whose}`);
      }
    }
  }
}

/** With `on_conflict: "error"` a conflict leaves what it is about unsaved; what was saved before stays. */
function is_in_conflict({ reply, manager }: Promised, ledger: Ledger): boolean {
  return (manager as ManagerLife).has_conflict && !ledger.acknowledged.has(reply);
}

function judge_current({ life, talk, children }: User, sessions: ReadonlyMap<string, Resolved>, ledger: Ledger): void {
  const id = life.session_id;
  if (id === undefined || life.is_disposed || life.has_conflict || talk.is_edited || talk.is_unsaved) {
    return;
  }
  const session = sessions.get(id);
  const shadow = ledger.shadows.sessions.get(id);
  const is_foreign = [...(shadow?.changed ?? [])].some(([writer, at]) => writer !== life.store && at > life.began);
  const is_childs =
    shadow?.kind === "checkpoint" || (shadow?.kind === "child" && children.some(({ has_session }) => has_session));
  const is_gone_by_others = ledger.was_deletion_asked(id) || ledger.shadows.maker_of(id) !== life.store;
  if (is_foreign || is_childs || (session === undefined && is_gone_by_others)) {
    return; // another writer changed or deleted it, which a manager hears of with its next write
  }
  const shown = texts_of(talk.conversation.messages).join();
  const found = session === undefined ? undefined : texts_of(session.messages).join();
  const is_unwritten = session === undefined && shown === "" && !life.options.auto_save;
  if (found !== shown && !is_unwritten) {
    ledger.find("wrong-current", `${id} resolves to ${found ?? "nothing"}; the conversation holds ${shown}`);
  }
}

function judge_life(life: ManagerLife, ledger: Ledger): void {
  const { manager, gaps, thrown } = life;
  if (manager.pending !== 0) {
    ledger.find("pending", `pending is ${manager.pending}`);
  }
  const error: unknown = manager.last_error;
  if (error !== undefined && !is_left(error, life)) {
    const told = [...(life.told.get(error) ?? ["nothing that was told"])];
    ledger.find("last-error", `last_error is ${reason_of(error)}, of ${told.join(", ")}`);
  }
  for (const { completed, reports } of gaps) {
    if (completed.length > 0 && reports === 0 && !life.is_disposed) {
      ledger.find("unreported-turn", "a turn that completed while no session was active was not reported");
    }
    if (reports > 1) {
      ledger.find("reported-twice", `turns without a session were reported ${reports} times`);
    }
  }
  for (const { error: one, event } of thrown) {
    if (event !== "lifecycle_error" && !life.told.has(one)) {
      ledger.find("unreported-listener", `${one.message} was not reported`);
    }
  }
}

/** An error that need not be made good by a save, or that no save can make good. */
function is_left(error: unknown, { told, options }: ManagerLife): boolean {
  const operations = [...(told.get(error) ?? [])];
  return (
    operations.some((operation) => operation !== "save" && operation !== "flush") ||
    has_code(error, "invalid_state") ||
    (has_code(error, "conflict") && options.on_conflict === "error")
  );
}
