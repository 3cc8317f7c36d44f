import { pauses, type Pause } from "../../../async/time-slicer.js";
import type { SessionMetadata } from "../../../types.js";
import { has_code, ignore, reason_of } from "../../../errors.js";
import { is_lineage } from "../../../lineage.js";
import { apply_patch } from "../../../metadata.js";
import { NotASession } from "../format/corrupt.js";
import { is_errno, succeeds, type FileLayer } from "../fs/file-layer.js";
import { find_form } from "../snapshots/forms.js";
import { read_last_record } from "../journal-reader.js";
import { read_beginning } from "../fs/regular-file.js";
import { salvage_metadata } from "../format/salvage-metadata.js";
import { damaged_is_unknown } from "../store-rules.js";
import { DRAFT_ENDING, DRAFT_LOCK_ENDING, is_valid_id, JOURNAL_ENDING, type SessionPaths } from "../session-paths.js";
import { read_session } from "../session-reader.js";
import { metadata_of_file } from "../session-view.js";
import { stamp_of, stamp_snapshot, type SnapshotForm, type SnapshotStamp } from "../snapshots/snapshot-form.js";
import { type FileMetadata } from "../format/snapshot-header.js";

/** The answers of the system to one file that cannot be read. */
const UNREADABLE = ["EACCES", "EPERM", "EIO"];

/** The metadata of a session, and the stamps of its files at the time of the read. */
export interface ListedSession {
  /** `undefined`: the file was never a session. */
  metadata: SessionMetadata | undefined;
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
  let stamps: SnapshotStamp[] | undefined;
  try {
    const listed = await list_from_ends(layer, paths, form, has_journal).catch(ignore("corrupt")); // or a change under way
    if (listed) {
      return listed;
    }
    stamps = await stamps_of(layer, paths, form, has_journal); // before the files are read, as they may change then
    const metadata = (await read_session(layer, paths))?.state.metadata;
    return metadata && { metadata, stamps };
  } catch (error) {
    if (error instanceof NotASession && !has_journal) {
      return { metadata: undefined, stamps };
    }
    if (!has_code(error, "corrupt") && !is_errno(error, ...UNREADABLE)) {
      throw error; // such as too many open files: says nothing of the session
    }
    const metadata = await damaged_entry(layer, paths, error);
    return metadata && { metadata, stamps: undefined };
  }
}

/** Looks at the files of a session. Returns `undefined` if the session is gone. */
export async function stamps_of(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
  has_journal: boolean,
): Promise<SnapshotStamp[] | undefined> {
  const snapshot = await stamp_snapshot(layer, paths, form);
  const journal = has_journal ? await layer.stat(paths.journal) : undefined;
  return snapshot && [snapshot, ...(journal ? [stamp_of(journal)] : [])];
}

/** Returns `undefined` if the session is gone, or was an incomplete copy. */
async function damaged_entry(
  layer: FileLayer,
  paths: SessionPaths,
  error: unknown,
): Promise<SessionMetadata | undefined> {
  const form = await find_form(layer, paths);
  const stamp = form && (await layer.stat(paths.file(form.head_ending)));
  const found = form && (await readable_metadata(layer, paths, form));
  if (!stamp || found?.is_copy === true) {
    return undefined;
  }
  // its parent is not to forget what it inherits
  const lineage = Object.entries(found?.metadata ?? {}).filter(([key]) => key === "kind" || is_lineage(key));
  const damaged = reason_of(error);
  return { ...metadata_of_file(paths, stamp, {}, 0), ...Object.fromEntries(lineage), damaged };
}

/** Returns the first file of a damaged session that is an incomplete copy of another session, as sync clients leave them. */
export async function find_incomplete_copy(layer: FileLayer, paths: SessionPaths): Promise<string | undefined> {
  const form = await find_form(layer, paths);
  const found = form && (await readable_metadata(layer, paths, form));
  return form && found?.is_copy === true ? paths.file(form.head_ending) : undefined;
}

/** Bytes of the beginning of a damaged file that are searched for metadata. */
const MOST_SEARCHED = 256 * 1024;

/**
 * Reads the metadata of a session that is damaged, from the beginning of its head and the end of its journal. The files
 * are a copy of another session's if the head is as it was written, and neither head nor journal has this session's id.
 */
async function readable_metadata(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
): Promise<{ metadata: FileMetadata; is_copy: boolean }> {
  try {
    const path = paths.file(form.head_ending);
    const bytes = (await read_beginning(layer, path, MOST_SEARCHED).catch(ignore("corrupt")))?.bytes ?? Buffer.alloc(0);
    const metadata = await salvage_metadata(bytes, form.format, pauses());
    const last = await read_last_record(layer, paths.journal);
    const changed = typeof last === "object" ? last.record.metadata : {};
    const ids = [metadata, changed].map((of) => (of as { id?: unknown }).id);
    const is_other = typeof ids[0] === "string" && !ids.includes(paths.id) && last !== "unclear";
    return { metadata: apply_patch(metadata, changed), is_copy: is_other && is_as_written(form, bytes, path) };
  } catch (error) {
    if (has_code(error, "corrupt") || is_errno(error, ...UNREADABLE)) {
      return { metadata: {}, is_copy: false };
    }
    throw error;
  }
}

/** True unless the metadata in the first bytes of a head are other ones than those that were written. */
function is_as_written(form: SnapshotForm, bytes: Buffer, path: string): boolean {
  try {
    form.check_head(bytes, path);
    return true;
  } catch (error) {
    return damaged_is_unknown(error) !== "damaged";
  }
}

/** Combines the head of the snapshot and the last record. Returns `undefined` if these do not suffice. */
async function list_from_ends(
  layer: FileLayer,
  paths: SessionPaths,
  form: SnapshotForm,
  has_journal: boolean,
): Promise<ListedSession | undefined> {
  const journal = has_journal ? await read_last_record(layer, paths.journal) : undefined;
  const { stamp, head, metadata } = (journal !== "unclear" && (await form.read_head(layer, paths))) || {};
  const stored_count = metadata?.message_count;
  if (
    journal === "unclear" ||
    !stamp ||
    !metadata ||
    !Number.isSafeInteger(stored_count) ||
    (stored_count as number) < 0
  ) {
    return undefined;
  }
  const stamps = journal ? [stamp, stamp_of(journal.stamp)] : [stamp];
  const last = journal?.record;
  if (!last || (last.base === head?.store.previous && last.n <= (head?.store.folded ?? 0))) {
    return { metadata: metadata_of_file(paths, stamp, metadata, stored_count as number), stamps };
  }
  const patched = apply_patch(metadata, last.metadata);
  return last.base === head?.store.generation
    ? { metadata: metadata_of_file(paths, stamp, patched, last.at + last.count), stamps }
    : undefined;
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
  const sessions = new Map<string, SnapshotForm>();
  const [journals, drafts] = [new Set<string>(), new Set<string>()];
  for (const name of await names_if_there(layer, root)) {
    const rank = forms.findIndex(({ head_ending }) => name.endsWith(head_ending));
    const form = forms[rank];
    if (form) {
      const id = name.slice(0, -form.head_ending.length);
      const known = sessions.get(id);
      if (known ? rank < forms.indexOf(known) : is_valid_id(id)) {
        sessions.set(id, form);
      }
    } else if (name.endsWith(JOURNAL_ENDING)) {
      journals.add(name.slice(0, -JOURNAL_ENDING.length));
    } else if (name.endsWith(DRAFT_ENDING) || name.endsWith(DRAFT_LOCK_ENDING)) {
      drafts.add(name.slice(0, name.lastIndexOf(".")));
    }
    await pause();
  }
  return [...sessions].map(([id, form]) => ({ id, form, has_journal: journals.has(id), has_draft: drafts.has(id) }));
}

async function names_if_there(layer: FileLayer, root: string): Promise<string[]> {
  let names: string[] = [];
  await succeeds(["ENOENT"], async () => (names = await layer.names(root)));
  return names;
}
