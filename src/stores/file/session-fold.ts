import { with_file } from "./fs/durable-files.js";
import { read_records } from "./journal-pieces.js";
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
  const { layer, paths } = context;
  const { form, head, journal, metadata, revision } = from;
  const snapshot = await with_file(await layer.open(paths.journal, "read"), async (file) => {
    async function* added(): AsyncGenerator<Buffer> {
      for await (const record of read_records(file, paths.journal, undefined, journal)) {
        if (record.count > 0) {
          yield record.body;
        }
      }
    }
    const content = { kept: head, added: added(), added_size: journal.size, ...giving_way };
    return form.prepare(context, content, metadata, succession_of(from, revision));
  });
  return { snapshot, from };
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
