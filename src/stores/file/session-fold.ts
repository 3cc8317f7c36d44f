import { records_in } from "./journal-reader.js";
import type { JournalState, SessionState } from "./session-view.js";
import type { PrepareContext, PreparedSnapshot, SnapshotContent } from "./snapshots/snapshot-form.js";
import type { SnapshotHead, Succession } from "./format/snapshot-header.js";
import { new_token } from "./fs/token.js";

/** A snapshot that takes in all of a journal as it was once. */
export interface PreparedFold {
  snapshot: PreparedSnapshot;
  from: FoldableState;
}

/** A session with a journal that goes on from a snapshot of ours. */
export type FoldableState = SessionState & { head: SnapshotHead; journal: JournalState };

export function can_fold(state: SessionState): state is FoldableState {
  return state.head !== undefined && state.journal?.base === state.head.store.generation;
}

/**
 * Writes the snapshot that a session folds into, while others may go on changing it: files are read that only grow or
 * are replaced, and one is written that nobody knows.
 * @throws {SessionError} `corrupt` where the files are no longer as this state says.
 */
export async function prepare_fold(
  context: PrepareContext,
  from: FoldableState,
  giving_way: Pick<SnapshotContent, "signal" | "others_first">,
): Promise<PreparedFold> {
  const { form, metadata, revision } = from;
  const content = { ...content_with_journal(context, from), ...giving_way };
  return { snapshot: await form.prepare(context, content, metadata, succession_of(from, revision)), from };
}

/** The messages of a snapshot of ours, and those that its journal adds. */
export function content_with_journal(
  { layer, paths }: PrepareContext,
  { head, journal }: SessionState & { head: SnapshotHead },
): SnapshotContent {
  async function* added(to: JournalState): AsyncGenerator<Buffer> {
    for await (const record of records_in(layer, paths.journal, undefined, to)) {
      if (record.count > 0) {
        yield record.body;
      }
    }
  }
  const has_journal = journal?.relation === "continues";
  return { kept: head, added: has_journal ? added(journal) : [], added_size: has_journal ? journal.size : 0 };
}

/** How a snapshot is written that replaces everything. */
export interface Writing {
  /** Of its messages; without it a new one. */
  revision?: string;
  /** The note about the journal, where the state before does not say. */
  succession?: Partial<Succession> | undefined;
}

/** Returns the note in a new snapshot about the snapshot before. */
export function succession_of(old: SessionState | undefined, revision: string): Succession {
  const journal = old?.journal;
  const is_merged = old?.head === undefined && journal?.relation === "spent";
  const previous = old?.head?.store.generation ?? (is_merged ? (journal?.base ?? null) : null);
  const folded = journal !== undefined && journal.base === previous ? journal.records : 0;
  return { version: 1, generation: new_token(16), previous, folded, revision };
}
