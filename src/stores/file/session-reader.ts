import type { Message } from "@simulacra-ai/core";
import { pauses } from "../../async/time-slicer.js";
import { sleep } from "../../async/timers.js";
import { has_code } from "../../errors.js";
import type { SessionMetadata } from "../../types.js";
import { sum_of_messages } from "./format/checksum.js";
import { corrupt } from "./format/corrupt.js";
import { messages_of, patched, relate, size_of, type JournalEntry, type Relation } from "./format/journal.js";
import type { SnapshotHead } from "./format/snapshot-header.js";
import type { FileLayer } from "./fs/file-layer.js";
import { read_journal, type JournalFile } from "./journal-reader.js";
import type { SessionPaths } from "./session-paths.js";
import { merge_foreign, metadata_of_file, type JournalState, type SessionView } from "./session-view.js";
import { find_form } from "./snapshots/forms.js";
import { stamp_snapshot, type ReadHead, type ReadSnapshot, type SnapshotForm } from "./snapshots/snapshot-form.js";
import { damaged_is_unknown } from "./store-rules.js";

const ATTEMPTS = 50;
/** A writer that rewrites in place is given so long to finish before its file counts as damaged. */
const SETTLE_MS = 10;

/**
 * Reads a session without a lock: the journal first, then the snapshot, again where the two do not belong together
 * and one of them has moved meanwhile. `undefined`: there is no such session.
 * @throws {SessionError} `corrupt`.
 */
export async function read_session(layer: FileLayer, paths: SessionPaths): Promise<SessionView | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const form = await find_form(layer, paths);
    if (!form) {
      return undefined;
    }
    const before = await stamps(layer, paths, form);
    const has_moved = async () => (await stamps(layer, paths, form)) !== before;
    try {
      const journal = await read_journal(layer, paths.journal, "messages");
      const snapshot = await form.read(layer, paths);
      const view = snapshot && (await combine(form, paths, snapshot, journal));
      const is_unsettled = snapshot?.is_unsettled === true;
      if (is_unsettled && !(await has_moved())) {
        await sleep(SETTLE_MS);
      }
      const is_settled = view !== undefined && !is_unsettled && view.state.journal?.relation !== "foreign";
      if (is_settled || attempt === ATTEMPTS || !(await has_moved())) {
        return view;
      }
    } catch (error) {
      if (!has_code(error, "corrupt") || attempt === ATTEMPTS) {
        throw error;
      }
      if (!(await has_moved())) {
        await sleep(SETTLE_MS);
        if (!(await has_moved())) {
          throw error;
        }
      }
    }
  }
}

async function stamps(layer: FileLayer, paths: SessionPaths, form: SnapshotForm): Promise<string> {
  const journal = await layer.stat(paths.journal);
  const snapshot = await stamp_snapshot(layer, paths, form);
  return `${snapshot?.key} ${journal?.inode}`;
}

/** @throws {SessionError} `corrupt` where a journal is damaged, unless a snapshot holds all of it anyway. */
function require_whole({ journal }: JournalFile, paths: SessionPaths, head: SnapshotHead | undefined): void {
  const { damage } = journal;
  if (!damage) {
    return;
  }
  const is_done = ({ base, n = 0 }: JournalEntry) => base === head?.store.previous && n <= head.store.folded;
  const synced = damage.records.filter(({ durable }) => durable !== false);
  if (!synced.every(is_done)) {
    throw corrupt(paths.journal, damage.reason);
  }
}

/** Combines a snapshot and its journal. Of a snapshot of ours the messages may be unknown. */
async function combine(
  form: SnapshotForm,
  paths: SessionPaths,
  { stamp, head, metadata = {}, messages: stored }: ReadHead & Partial<Pick<ReadSnapshot, "messages">>,
  file: JournalFile | undefined,
): Promise<SessionView> {
  const pause = pauses();
  if (file) {
    require_whole(file, paths, head);
  }
  const stored_count = stored?.length ?? metadata.message_count ?? 0;
  const merged = head || !file ? undefined : await merge_foreign(form, stored ?? [], file.journal, pause);
  const { relation, records } =
    head && file
      ? relate(head.store, stored_count, file.journal)
      : {
          relation: merged || file?.journal.records.length === 0 ? ("spent" as const) : ("foreign" as const),
          records: merged?.records ?? [],
        };
  const messages = merged?.messages ?? stored?.concat(head ? messages_of(records) : []);
  const last = records.at(-1);
  const own_revision = merged?.is_ours === false ? undefined : (last?.revision ?? head?.store.revision);
  return {
    state: {
      form,
      stamp,
      head,
      journal: file && journal_state(file, relation),
      metadata: metadata_of_file(
        paths,
        stamp,
        patched(metadata, records),
        head && last ? last.at + last.count : (messages?.length ?? stored_count),
      ),
      revision: own_revision ?? `f${await sum_of_messages(messages ?? [], "\n", pause)}`,
    },
    records: head ? records : [],
    messages,
  };
}

function journal_state({ stamp, journal }: JournalFile, relation: Relation): JournalState {
  const { header, sum, end, records } = journal;
  return {
    stamp,
    base: header?.base,
    sum,
    end,
    records: records.length,
    size: size_of(records),
    changed: Object.keys(records.at(-1)?.metadata ?? {}),
    relation,
  };
}

/**
 * What a writer, who holds the lock, needs of a session: of a snapshot of ours only the head. `undefined`: there is
 * no such session.
 * @throws {SessionError} `corrupt`.
 */
export async function read_state(layer: FileLayer, paths: SessionPaths): Promise<SessionView | undefined> {
  const form = await find_form(layer, paths);
  const snapshot = await form?.read_head(layer, paths).catch(damaged_is_unknown);
  if (!form || snapshot === undefined) {
    return undefined;
  }
  return snapshot === "damaged" || !snapshot.head
    ? read_session(layer, paths)
    : combine(form, paths, snapshot, await read_journal(layer, paths.journal, "heads"));
}

/**
 * The history in a journal whose snapshot another writer replaced, as a session of its own: with what came before it,
 * where that writer has left it in place.
 */
export async function read_foreign_history(
  layer: FileLayer,
  paths: SessionPaths,
): Promise<{ messages: Message[]; metadata: Partial<SessionMetadata> }> {
  const view = await read_session(layer, paths);
  const journal = (await read_journal(layer, paths.journal, "messages"))?.journal;
  const records = journal?.records ?? [];
  const before = (view?.messages ?? []).slice(0, records[0]?.at ?? 0);
  const sum = view && (await sum_of_messages(before, view.state.form.separator, pauses()));
  const is_there = view && sum === journal?.header?.messages;
  const {
    id,
    message_count: _count,
    label,
    ...metadata
  } = metadata_of_file(paths, view?.state.stamp ?? { mtime_ns: 0n }, patched(view?.state.metadata ?? {}, records), 0);
  return {
    messages: [...(is_there ? before : []), ...messages_of(records)],
    metadata: {
      ...metadata,
      kind: "fork",
      parent_id: id,
      detached: true,
      ...(label !== undefined && { label: `${label} (recovered)`, label_source: "auto" }),
    },
  };
}
