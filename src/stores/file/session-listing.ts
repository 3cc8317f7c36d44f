import type { Pause } from "../../async/time-slicer.js";
import type { SessionMetadata } from "../../types.js";
import { has_code, reason_of } from "../../errors.js";
import { is_errno, read_range, type FileLayer } from "./file-layer.js";
import { find_form } from "./forms.js";
import { apply_patch, decode_last_record, type RecordHead } from "./journal.js";
import { read_regular } from "./regular-file.js";
import { salvage_session } from "./salvage.js";
import { DRAFT_ENDING, DRAFT_LOCK_ENDING, is_valid_id, JOURNAL_ENDING, type SessionPaths } from "./session-paths.js";
import { read_session } from "./session-reader.js";
import { metadata_of_file } from "./session-view.js";
import { stamp_of, type ReadHead, type SnapshotForm, type SnapshotStamp } from "./snapshot-form.js";

const TAIL_BYTES = 4096;

/** What a session says, and what its files were when it was read. */
export interface ListedSession {
  metadata: SessionMetadata;
  /** `undefined`: it cannot be read. */
  stamps: SnapshotStamp[] | undefined;
}

/**
 * A session's metadata from the head of its snapshot and the end of its journal; all of it is read only where these
 * do not suffice. `undefined`: it is gone. One that cannot be read is returned with `damaged`.
 */
export async function list_session(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
  has_journal: boolean,
): Promise<ListedSession | undefined> {
  try {
    const listed = await list_from_ends(layer, paths, form, has_journal);
    if (listed !== undefined) {
      return listed;
    }
    const stamps = await stamps_of(layer, paths, form, has_journal);
    const metadata = (await read_session(layer, paths))?.state.metadata;
    return metadata && { metadata, stamps };
  } catch (error) {
    const is_corrupt = has_code(error, "corrupt");
    return without_stamps(await (is_corrupt ? list_damaged(layer, paths) : damaged_entry(layer, paths, error)));
  }
}

/** What `list_session` returns, at once, of a session at rest; `undefined` where that is to be asked. */
export function list_session_now(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
  has_journal: boolean,
): ListedSession | undefined {
  try {
    const read = has_journal ? undefined : form.read_head_now(layer, paths);
    return read && combine(read, undefined, paths);
  } catch (error) {
    if (!has_code(error, "corrupt")) {
      throw error;
    }
    return undefined; // it may be in the middle of a change
  }
}

/** What the files of a session are now; `undefined`: gone. */
export async function stamps_of(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
  has_journal: boolean,
): Promise<SnapshotStamp[] | undefined> {
  const snapshot = await form.stamp(layer, paths);
  const journal = has_journal ? await layer.stat(paths.journal) : undefined;
  return snapshot && [snapshot, ...(journal ? [stamp_of(journal)] : [])];
}

/** The same at once; `undefined` where that is to be asked. */
export function stamps_now(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
  has_journal: boolean,
): SnapshotStamp[] | undefined {
  const snapshot = form.stamp_now(layer, paths);
  const journal = has_journal ? layer.stat_now?.(paths.journal) : undefined;
  const is_there = snapshot !== undefined && has_journal === (journal !== undefined);
  return is_there ? [snapshot, ...(journal ? [stamp_of(journal)] : [])] : undefined;
}

function without_stamps(metadata: SessionMetadata | undefined): ListedSession | undefined {
  return metadata && { metadata, stamps: undefined };
}

/** What seems damaged may have been read in the middle of a change. */
async function list_damaged(layer: FileLayer, paths: SessionPaths): Promise<SessionMetadata | undefined> {
  try {
    return (await read_session(layer, paths))?.state.metadata;
  } catch (error) {
    return damaged_entry(layer, paths, error);
  }
}

async function damaged_entry(
  layer: FileLayer,
  paths: SessionPaths,
  error: unknown,
): Promise<SessionMetadata | undefined> {
  const form = await find_form(layer, paths);
  const stamp = form && (await layer.stat(form.head_path(paths)));
  const damaged = reason_of(error);
  return (
    stamp && {
      ...metadata_of_file({}, { id: paths.id, message_count: 0, stamp }),
      ...(await readable_lineage(layer, paths, form)),
      damaged,
    }
  );
}

/** What a session inherits, where its messages are damaged and its metadata are not: its parent is not to forget it. */
async function readable_lineage(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
): Promise<Partial<SessionMetadata>> {
  try {
    const { metadata } = await salvage_session(layer, paths, form);
    return Object.fromEntries(Object.entries(metadata).filter(([key]) => LINEAGE.has(key)));
  } catch (error) {
    if (has_code(error, "corrupt") || is_errno(error, "EACCES", "EPERM", "EIO")) {
      return {};
    }
    throw error;
  }
}

const LINEAGE = new Set(["parent_id", "kind", "detached", "fork_message_id", "fork_message_count"]);

/** `undefined`: head and record do not suffice. */
async function list_from_ends(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
  has_journal: boolean,
): Promise<ListedSession | undefined> {
  const journal = has_journal ? await read_last_record(layer, paths.journal) : undefined;
  const read = journal === "unclear" ? undefined : await form.read_head(layer, paths);
  return journal === "unclear" || read === undefined ? undefined : combine(read, journal, paths);
}

/** What the two ends say together; `undefined`: it does not suffice. */
function combine(
  { stamp, head, metadata }: ReadHead,
  journal: LastRecord | undefined,
  paths: SessionPaths,
): ListedSession | undefined {
  if (metadata === undefined) {
    return undefined;
  }
  const stamps = journal ? [stamp, journal.stamp] : [stamp];
  const last = journal?.record;
  const stored_count = metadata.message_count;
  if (typeof stored_count !== "number" || !Number.isSafeInteger(stored_count) || stored_count < 0) {
    return undefined;
  }
  if (last === undefined || (last.base === head?.store.previous && last.n <= (head?.store.folded ?? 0))) {
    return { metadata: metadata_of_file(metadata, { id: paths.id, message_count: stored_count, stamp }), stamps };
  }
  if (last.base !== head?.store.generation) {
    return undefined;
  }
  const message_count = last.at + last.count;
  const patched = apply_patch(metadata, last.metadata);
  return { metadata: metadata_of_file(patched, { id: paths.id, message_count, stamp }), stamps };
}

interface LastRecord {
  record: RecordHead;
  stamp: SnapshotStamp;
}

/** `undefined`: there is no journal any more. `"unclear"`: its end does not say. */
async function read_last_record(layer: FileLayer, path: string): Promise<LastRecord | "unclear" | undefined> {
  return read_regular(layer, path, async (file, stamp) => {
    for (let length = TAIL_BYTES; ; length *= 4) {
      const begin = Math.max(0, stamp.size - length);
      const record = decode_last_record(await read_range(file, begin, stamp.size - begin));
      if (record !== undefined || begin === 0) {
        return record ? { record, stamp: stamp_of(stamp) } : "unclear";
      }
    }
  });
}

export interface SessionName {
  id: string;
  form: SnapshotForm;
  has_journal: boolean;
  /** There is one, or it is being changed. */
  has_draft: boolean;
}

/** The sessions of a directory, by the names of their files. */
export async function session_names(
  layer: FileLayer,
  root: string,
  forms: readonly SnapshotForm[],
  pause: Pause = () => undefined,
): Promise<SessionName[]> {
  const sessions = new Map<string, SessionName>();
  const [journals, drafts] = [new Set<string>(), new Set<string>()];
  for (const name of await names_if_there(layer, root)) {
    const rank = forms.findIndex(({ head_ending }) => name.endsWith(head_ending));
    const form = forms[rank];
    if (form !== undefined) {
      const id = name.slice(0, -form.head_ending.length);
      const known = sessions.get(id);
      if (known === undefined ? is_valid_id(id) : rank < forms.indexOf(known.form)) {
        sessions.set(id, { id, form, has_journal: false, has_draft: false });
      }
    } else if (name.endsWith(JOURNAL_ENDING)) {
      journals.add(name.slice(0, -JOURNAL_ENDING.length));
    } else if (name.endsWith(DRAFT_ENDING) || name.endsWith(DRAFT_LOCK_ENDING)) {
      drafts.add(name.slice(0, name.lastIndexOf(".")));
    }
    const pausing = pause();
    if (pausing !== undefined) {
      await pausing;
    }
  }
  note(sessions, journals, "has_journal");
  note(sessions, drafts, "has_draft");
  return [...sessions.values()];
}

function note(sessions: Map<string, SessionName>, ids: Set<string>, what: "has_journal" | "has_draft"): void {
  for (const id of ids) {
    const session = sessions.get(id);
    if (session !== undefined) {
      session[what] = true;
    }
  }
}

async function names_if_there(layer: FileLayer, root: string): Promise<string[]> {
  try {
    return await layer.names(root);
  } catch (error) {
    if (is_errno(error, "ENOENT")) {
      return [];
    }
    throw error;
  }
}
