import { isDeepStrictEqual } from "node:util";
import { as_stored, has_capability } from "./capabilities.js";
import { is_session_error, reason_of, SessionError, session_not_found } from "./errors.js";
import { inherits } from "./lineage.js";
import type { MetadataPatch } from "./metadata.js";
import { traced } from "./tracing.js";
import type { SessionMetadata, SessionStore, StoredSession } from "./types.js";

/**
 * What became of a session: `copied`; `skipped`, it is there already, the same; `different`, another one is there under
 * its id, which stays; `failed`.
 */
export type CopyResult = "copied" | "skipped" | "different" | "failed";

export interface CopyProgress {
  id: string;
  result: CopyResult;
  /** How many sessions are done, this one included, and how many there are. */
  done: number;
  total: number;
}

export interface CopyOptions {
  /** Only these, and those from which they inherit; without it, all. */
  ids?: readonly string[];
  /** Called after each session. */
  on_progress?: (progress: CopyProgress) => void;
  /** Replace what is there under the same id and is not the same. */
  overwrite?: boolean;
}

export interface CopyReport {
  copied: string[];
  skipped: string[];
  different: string[];
  failed: { id: string; error: SessionError }[];
}

/**
 * Copies sessions from one store to another, parents first, each read back and compared. Dates, lineage and unknown keys
 * are kept, drafts where the target has them. After an interruption the same call goes on: what is there already is
 * skipped, and gets the draft that it lacks. Works with the four basic methods on both sides. Holds one session at a time in memory.
 * Returns what became of each session; rejects only where the list of sessions cannot be read.
 */
export async function copy_sessions(
  source: SessionStore,
  target: SessionStore,
  { ids, on_progress, overwrite = false }: CopyOptions = {},
): Promise<CopyReport> {
  const [from, to] = [traced(source), traced(target)];
  const report: CopyReport = { copied: [], skipped: [], different: [], failed: [] };
  const order = parents_first(await from.list(), ids);
  for (const [index, id] of order.entries()) {
    let result: CopyResult;
    try {
      result = await copy_session(from, to, id, overwrite);
      report[result].push(id);
    } catch (error) {
      result = "failed";
      report.failed.push({ id, error: as_session_error(error, id) });
    }
    on_progress?.({ id, result, done: index + 1, total: order.length });
  }
  return report;
}

/** Each session behind its parent; a cycle is cut anywhere. */
function parents_first(entries: readonly SessionMetadata[], ids: readonly string[] | undefined): string[] {
  const known = new Map(entries.map((entry) => [entry.id, entry]));
  const ordered = new Set<string>();
  for (const id of ids ?? known.keys()) {
    const line: string[] = [];
    const seen = new Set<string>();
    for (let at: string | undefined = id; at !== undefined && !seen.has(at) && !ordered.has(at);) {
      seen.add(at);
      line.push(at);
      at = parent_to_copy(known, at, ids === undefined);
    }
    line.reverse().forEach((one) => ordered.add(one));
  }
  return [...ordered];
}

/** Of chosen sessions only what they inherit from comes along. */
function parent_to_copy(known: Map<string, SessionMetadata>, id: string, is_all: boolean): string | undefined {
  const entry = known.get(id);
  const is_needed = entry !== undefined && (is_all || inherits(entry));
  return is_needed && known.has(entry.parent_id ?? "") ? entry.parent_id : undefined;
}

async function copy_session(
  from: SessionStore,
  to: SessionStore,
  id: string,
  overwrite: boolean,
): Promise<"copied" | "skipped" | "different"> {
  const session = await from.load(id);
  if (!session) {
    throw session_not_found(id);
  }
  const there = await to.load(id);
  if (there && is_same(session, there, to)) {
    return "skipped";
  }
  const lacks_draft = there !== undefined && there.draft === undefined && difference(session, there, to) === "draft";
  if (there && !lacks_draft && !overwrite) {
    return "different";
  }
  await (lacks_draft ? write_draft(to, session) : write(to, session, there));
  if (there && !lacks_draft && !is_same(session, await to.load(id), to)) {
    await to.delete(id); // a kind or a label that is never replaced
    await write(to, session, undefined);
  }
  const copy = await to.load(id);
  if (!is_same(session, copy, to)) {
    const what = difference(session, copy, to);
    throw new SessionError("storage", `session ${id} is not the same when it is read back: ${what}`, {
      session_id: id,
    });
  }
  return "copied";
}

async function write(to: SessionStore, session: StoredSession, there: StoredSession | undefined): Promise<void> {
  const { id, message_count: _count, damaged: _damaged, ...metadata } = session.metadata;
  const gone = Object.keys(there?.metadata ?? {}).filter((key) => !Object.hasOwn(session.metadata, key));
  const given: MetadataPatch = { ...Object.fromEntries(gone.map((key) => [key, null])), ...metadata };
  await to.save(id, session.messages, given as Partial<SessionMetadata>);
  if (session.draft || there?.draft) {
    await write_draft(to, session);
  }
}

async function write_draft(to: SessionStore, { metadata, draft }: StoredSession): Promise<void> {
  if (has_capability(to, "set_draft")) {
    await to.set_draft(metadata.id, draft);
  }
}

const PARTS = ["messages", "metadata", "draft"] as const;

function is_same(session: StoredSession, copy: StoredSession | undefined, to: SessionStore): boolean {
  return difference(session, copy, to) === undefined;
}

/** The first part that differs, as JSON holds it; the draft is the last one that is compared. */
function difference(session: StoredSession, copy: StoredSession | undefined, to: SessionStore): string | undefined {
  if (!copy) {
    return "it is not there";
  }
  const expected = as_stored(to, counted(session));
  const parts = PARTS.filter((part) => part !== "draft" || has_capability(to, "set_draft"));
  return parts.find((part) => !isDeepStrictEqual(plain(expected[part]), plain(copy[part])));
}

/** What a session says of its messages is not taken over: the target counts them. */
function counted(session: StoredSession): StoredSession {
  return { ...session, metadata: { ...session.metadata, message_count: session.messages.length } };
}

/** Stores of four methods may hold null for a key that was removed. */
function plain(value: unknown): unknown {
  const known: unknown = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
  return typeof known !== "object" || known === null || Array.isArray(known)
    ? known
    : Object.fromEntries(Object.entries(known).filter(([, item]) => item !== null));
}

function as_session_error(error: unknown, session_id: string): SessionError {
  if (is_session_error(error)) {
    return error;
  }
  return new SessionError("storage", `session ${session_id} cannot be copied: ${reason_of(error)}`, {
    cause: error,
    session_id,
  });
}
