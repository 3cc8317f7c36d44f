import { invalid_input } from "./errors.js";
import type { SessionKind, SessionMetadata, SessionQuery } from "./types.js";

/** A change of metadata as it may arrive at run time: `null` removes a key. */
export type MetadataPatch = { [K in keyof SessionMetadata]?: SessionMetadata[K] | null | undefined };

/** The kind of a session, derived where an older writer left it out. */
export function session_kind(metadata: Partial<SessionMetadata>): SessionKind {
  if (metadata.kind !== undefined) {
    return metadata.kind;
  }
  if (metadata.is_checkpoint) {
    return "checkpoint";
  }
  if (metadata.parent_id === undefined) {
    return "root";
  }
  return metadata.detached ? "child" : "fork";
}

/** Newest `updated_at` first, ties by id ascending, both by UTF-16 code unit. */
export function compare_sessions(
  a: Pick<SessionMetadata, "updated_at" | "id">,
  b: Pick<SessionMetadata, "updated_at" | "id">,
): number {
  if (a.updated_at !== b.updated_at) {
    return a.updated_at < b.updated_at ? 1 : -1;
  }
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
}

/** What may arrive at run time. */
type UncheckedQuery = { [K in keyof SessionQuery]: unknown };

/** @throws {SessionError} `invalid_input` for what is no query. */
export function require_query(query: SessionQuery | null | undefined): void {
  const { limit, before, parent_id, kinds }: UncheckedQuery = query ?? {};
  if (limit !== undefined && !(Number.isInteger(limit) && (limit as number) >= 0)) {
    throw invalid_input("limit must be a whole number of at least 0");
  }
  if (parent_id !== undefined && typeof parent_id !== "string") {
    throw invalid_input("parent_id must be an id");
  }
  if (kinds !== undefined && !Array.isArray(kinds)) {
    throw invalid_input("kinds must be an array");
  }
  const { updated_at, id } = (before ?? {}) as { updated_at?: unknown; id?: unknown };
  if (before !== undefined && (typeof updated_at !== "string" || typeof id !== "string")) {
    throw invalid_input("before must have the updated_at and the id of an entry");
  }
}

/** Sorts, filters and pages a list as `SessionStore.list` promises. @throws {SessionError} `invalid_input`. */
export function apply_query(entries: readonly SessionMetadata[], query?: SessionQuery | null): SessionMetadata[] {
  require_query(query);
  const { limit, before, parent_id, kinds } = query ?? {};
  const wanted = entries.filter(
    (entry) =>
      (parent_id === undefined || entry.parent_id === parent_id) &&
      (kinds === undefined || kinds.includes(session_kind(entry))) &&
      (before === undefined || compare_sessions(before, entry) < 0),
  );
  wanted.sort(compare_sessions);
  return limit === undefined ? wanted : wanted.slice(0, limit);
}

/**
 * The one rule by which every store combines stored and given metadata: see `SessionStore.save`.
 * Takes and returns plain objects; neither argument is changed.
 */
export function merge_metadata(
  stored: SessionMetadata | undefined,
  given: MetadataPatch | undefined,
  own: { id: string; message_count: number; now?: string },
): SessionMetadata {
  const now = own.now ?? new Date().toISOString();
  const keeps_label = stored?.label_source === "user" && given?.label_source === "auto";
  const kept = [...(keeps_label ? ["label", "label_source"] : []), ...(stored?.kind === undefined ? [] : ["kind"])];
  const changes = Object.entries(given ?? {}).filter(([key, value]) => value !== undefined && !kept.includes(key));
  const { id, message_count } = own;
  const created_at = given?.created_at ?? stored?.created_at ?? now;
  const set = { id, created_at, updated_at: given?.updated_at ?? now, message_count };
  const merged = apply_patch(stored ?? {}, Object.fromEntries(changes));
  const rest = Object.entries(merged).filter(([key]) => !Object.hasOwn(set, key) && key !== "damaged");
  return Object.fromEntries([...Object.entries(set), ...rest]) as unknown as SessionMetadata;
}

/** Applies a change of metadata. */
export function apply_patch(metadata: MetadataPatch, patch: MetadataPatch): MetadataPatch {
  const merged = new Map<string, unknown>(Object.entries(metadata));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      merged.delete(key);
    } else {
      merged.set(key, value);
    }
  }
  return Object.fromEntries(merged);
}

/** The keys in which `to` differs from `from`, so that merging them into `from` gives `to` again. */
export function metadata_difference(from: SessionMetadata, to: SessionMetadata): MetadataPatch {
  const old_values = new Map<string, unknown>(Object.entries(from));
  const changed: [string, unknown][] = [];
  for (const [key, value] of Object.entries(to)) {
    const old_value = old_values.get(key);
    if (old_value !== value && JSON.stringify(old_value) !== JSON.stringify(value)) {
      changed.push([key, value]);
    }
    old_values.delete(key);
  }
  const removed = [...old_values.keys()].map((key): [string, unknown] => [key, null]);
  return Object.fromEntries([...changed, ...removed]);
}

/** Metadata with all that the contract requires, however little is stored; `date` stands in for a missing one. */
export function complete_metadata(
  metadata: MetadataPatch,
  own: { id: string; message_count: number; date: () => string },
): SessionMetadata {
  const { id, message_count } = own;
  const updated_at = typeof metadata.updated_at === "string" ? metadata.updated_at : own.date();
  const created_at = typeof metadata.created_at === "string" ? metadata.created_at : updated_at;
  const known = Object.values(metadata).includes(null) ? apply_patch({}, metadata) : metadata;
  return { ...known, id, updated_at, created_at, message_count } as SessionMetadata;
}
