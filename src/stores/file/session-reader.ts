import type { Message } from "@simulacra-ai/core";
import { sleep } from "../../async/timers.js";
import { has_code } from "../../errors.js";
import type { SessionMetadata } from "../../types.js";
import { checksum } from "./checksum.js";
import { corrupt } from "./corrupt.js";
import type { FileLayer, FileStamp } from "./file-layer.js";
import { find_form } from "./forms.js";
import { decode_journal, type Journal, type JournalRecord } from "./journal.js";
import { read_file } from "./regular-file.js";
import type { SessionPaths } from "./session-paths.js";
import {
  metadata_of_file,
  merge_foreign,
  messages_of,
  patched,
  relate,
  size_of,
  type JournalState,
  type Relation,
  type SessionView,
} from "./session-view.js";
import type { ReadHead, ReadSnapshot, SnapshotForm, SnapshotHead } from "./snapshot-form.js";

const ATTEMPTS = 50;
/** A writer that rewrites in place is given so long to finish before its file counts as damaged. */
const SETTLE_MS = 10;

interface JournalFile {
  stamp: FileStamp;
  journal: Journal;
}

/**
 * Reads a session without a lock: the journal first, then the snapshot, again where the two do not belong together
 * and one of them has moved meanwhile. `undefined`: there is no such session.
 * @throws {SessionError} `corrupt`.
 */
export async function read_session(layer: FileLayer, paths: SessionPaths): Promise<SessionView | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const form = await find_form(layer, paths);
    if (form === undefined) {
      return undefined;
    }
    const before = await stamps(layer, paths, form);
    const has_moved = async () => (await stamps(layer, paths, form)) !== before;
    try {
      const journal = await read_journal(layer, paths);
      const snapshot = await form.read(layer, paths);
      const view = snapshot && combine(form, paths, snapshot, journal);
      const is_settled = view !== undefined && view.state.journal?.relation !== "foreign";
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
  const snapshot = await form.stamp(layer, paths);
  return `${snapshot?.key} ${journal?.inode}`;
}

async function read_journal(layer: FileLayer, paths: SessionPaths): Promise<JournalFile | undefined> {
  const file = await read_file(layer, paths.journal);
  if (file === undefined) {
    return undefined;
  }
  return { stamp: file.stamp, journal: decode_journal(file.bytes) };
}

/** @throws {SessionError} `corrupt` where a journal is damaged, unless a snapshot holds all of it anyway. */
function require_whole({ journal }: JournalFile, paths: SessionPaths, head: SnapshotHead | undefined): void {
  const { damage } = journal;
  if (damage === undefined) {
    return;
  }
  const is_done = ({ base, n = 0 }: JournalRecord) => base === head?.store.previous && n <= head.store.folded;
  const synced = damage.records.filter(({ durable }) => durable !== false);
  if (!synced.every(is_done)) {
    throw corrupt(paths.journal, damage.reason);
  }
}

function combine(
  form: SnapshotForm,
  paths: SessionPaths,
  snapshot: ReadSnapshot,
  journal: JournalFile | undefined,
): SessionView {
  return snapshot.head === undefined
    ? combine_foreign(form, paths, snapshot, journal)
    : combine_own(form, paths, { ...snapshot, head: snapshot.head }, journal);
}

function combine_own(
  form: SnapshotForm,
  paths: SessionPaths,
  { stamp, head, messages }: Pick<ReadHead, "stamp"> & { head: SnapshotHead } & Partial<Pick<ReadSnapshot, "messages">>,
  file: JournalFile | undefined,
): SessionView {
  if (file) {
    require_whole(file, paths, head);
  }
  const stored_count = messages?.length ?? head.metadata.message_count ?? 0;
  const { relation, records } = file
    ? relate(head.store, stored_count, file.journal)
    : { relation: "spent" as const, records: [] };
  const last = records.at(-1);
  const message_count = last ? last.at + last.count : stored_count;
  return {
    state: {
      form,
      stamp,
      head,
      journal: file && journal_state(file, relation),
      metadata: metadata_of_file(patched(head.metadata, records), { id: paths.id, message_count, stamp }),
      revision: last?.revision ?? head.store.revision,
    },
    records,
    messages: messages && (last ? messages.concat(messages_of(records)) : messages),
  };
}

function combine_foreign(
  form: SnapshotForm,
  paths: SessionPaths,
  { stamp, metadata, messages: theirs }: ReadSnapshot,
  file: JournalFile | undefined,
): SessionView {
  if (file) {
    require_whole(file, paths, undefined);
  }
  const merged = file && merge_foreign(form, theirs, file.journal);
  const messages = merged?.messages ?? theirs;
  const last = merged?.records.at(-1);
  const relation = merged || file?.journal.records.length === 0 ? "spent" : "foreign";
  const texts = messages.map((message) => JSON.stringify(message));
  return {
    state: {
      form,
      stamp,
      head: undefined,
      journal: file && journal_state(file, relation),
      metadata: metadata_of_file(patched(metadata, merged?.records ?? []), {
        id: paths.id,
        message_count: messages.length,
        stamp,
      }),
      revision: merged?.is_ours && last ? last.revision : `f${checksum(texts.join("\n"))}`,
    },
    records: [],
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
  const snapshot = await form?.read_head(layer, paths);
  if (form === undefined || snapshot === undefined) {
    return undefined;
  }
  const { stamp, head } = snapshot;
  return head === undefined
    ? read_session(layer, paths)
    : combine_own(form, paths, { stamp, head }, await read_journal(layer, paths));
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
  const journal = (await read_journal(layer, paths))?.journal;
  const records = journal?.records ?? [];
  const before = (view?.messages ?? []).slice(0, records[0]?.at ?? 0);
  const texts = before.map((message) => JSON.stringify(message));
  const is_there = view?.state.form.checksum(texts) === journal?.header?.messages;
  const {
    id,
    message_count: _count,
    label,
    ...metadata
  } = metadata_of_file(patched(view?.state.metadata ?? {}, records), {
    id: paths.id,
    message_count: 0,
    stamp: view?.state.stamp ?? { mtime_ns: 0n },
  });
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
