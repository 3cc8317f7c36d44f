import { timers } from "../../async/timers.js";
import { SessionError } from "../../errors.js";
import type { SnapshotHead, Succession } from "./format/snapshot-header.js";
import type { FilePolicy } from "./fs/durable-files.js";
import { is_errno, type FileLayer } from "./fs/file-layer.js";
import { with_open_files } from "./fs/open-files.js";
import { new_token } from "./fs/token.js";
import { records_in } from "./journal-reader.js";
import type { SessionPaths } from "./session-paths.js";
import type { JournalState, SessionState } from "./session-view.js";
import type { PrepareContext, PreparedSnapshot, SnapshotContent } from "./snapshots/snapshot-form.js";

/** A journal is compacted into its snapshot when it is longer than this, and than `RATIO` snapshots. */
const MIN_BYTES = 80 * 1024;
/** Journal, compactions and a last flush then write three times the messages on average. */
const RATIO = 2;
/** No timer of the runtime is longer. */
const MOST_TIMER_MS = 2 ** 31 - 1;
/** Beyond so many bytes, and twice its snapshot, a journal does not grow: an append waits for the compaction. */
const MOST_JOURNAL_BYTES = 64 * 1024 * 1024;

/** When a session that is not changed any more is compacted: the longer the snapshot, the later. */
export interface IdlePolicy {
  idle_ms: number;
  idle_ms_per_mb: number;
}

export const IDLE_POLICY: IdlePolicy = { idle_ms: 1_000, idle_ms_per_mb: 10_000 };

/** A session with a journal that goes on from a snapshot of ours. */
export type CompactableState = SessionState & { head: SnapshotHead; journal: JournalState };

function can_compact(state: SessionState): state is CompactableState {
  return state.head !== undefined && state.journal?.base === state.head.store.generation;
}

/** A snapshot that takes in all of a journal as it was once. */
export interface PreparedCompaction {
  snapshot: PreparedSnapshot;
  from: CompactableState;
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

/** Returns the note in a new snapshot about the snapshot before. */
export function succession_of(old: SessionState | undefined, revision: string): Succession {
  const journal = old?.journal;
  const is_merged = old?.head === undefined && journal?.relation === "spent";
  const previous = old?.head?.store.generation ?? (is_merged ? (journal?.base ?? null) : null);
  const folded = journal && journal.base === previous ? journal.records : 0;
  return { version: 1, generation: new_token(16), previous, folded, revision };
}

interface RunningCompaction {
  abort: AbortController;
  /** `undefined`: it failed. */
  prepared: Promise<PreparedCompaction | undefined>;
  ended: Promise<void>;
}

/** The part of a compaction that needs the session's lock, or its next holder. */
interface Owner {
  /** Puts a compaction in place, unless the signal says that it was given up. */
  finish(id: string, compaction: PreparedCompaction, signal: AbortSignal): Promise<void>;
  /** Notes the token of a temporary file that a failed compaction may have left. */
  orphaned(id: string, token: string): void;
}

/**
 * Compacts journals that have become long, or that nobody appends to any more, beside the appends that go on. Only
 * putting a compaction in place takes the session's lock.
 *
 * Hazard: appends without a pause could make a journal grow faster than it is compacted. So an append waits for the
 * compaction when the journal is as long as it may be. A compaction that fails is no loss: the journal holds everything.
 */
export class Compactor {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #idle: IdlePolicy;
  /** Timers of sessions that are compacted when their changes have ended. */
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #running = new Map<string, RunningCompaction>();
  /** Changes of sessions that are being compacted: the last of each. */
  readonly #noted = new Map<string, () => void>();
  /** The length of the journal at which a compaction that failed is tried again. The next flush tries again, too. */
  readonly #failed = new Map<string, number>();
  readonly #owner: Owner;

  constructor(layer: FileLayer, policy: FilePolicy, idle: IdlePolicy, owner: Owner) {
    this.#layer = layer;
    this.#policy = policy;
    this.#idle = idle;
    this.#owner = owner;
  }

  /** After a change: a long journal is compacted at once, and any other one when the changes end. */
  note(paths: SessionPaths, state: SessionState | undefined): void {
    const { id } = paths;
    this.#forget_timer(id);
    this.#noted.delete(id);
    if (!state || !can_compact(state)) {
      return;
    }
    if (this.#running.has(id)) {
      this.#noted.set(id, () => this.note(paths, state));
      return;
    }
    if (state.journal.end > Math.max(MIN_BYTES, RATIO * state.stamp.size, this.#failed.get(id) ?? 0)) {
      this.#begin(paths, state);
      return;
    }
    const { idle_ms, idle_ms_per_mb } = this.#idle;
    const wait_ms = idle_ms + (idle_ms_per_mb * state.stamp.size) / 1_000_000;
    if (wait_ms <= MOST_TIMER_MS) {
      const timer = timers.set_timeout(() => this.#begin(paths, state), wait_ms);
      this.#timers.set(id, timer.unref()); // the journal holds everything when the process ends
    }
  }

  /** True if a journal may not grow by so many bytes. */
  is_full({ stamp, journal }: SessionState, bytes: number): boolean {
    return journal !== undefined && journal.end + bytes > 2 * stamp.size + MOST_JOURNAL_BYTES;
  }

  /** Inside a change: waits for the compaction under way until it can be put in place. */
  async prepared(id: string): Promise<PreparedCompaction | undefined> {
    return this.#running.get(id)?.prepared;
  }

  #begin(paths: SessionPaths, state: CompactableState): void {
    const { id } = paths;
    this.#timers.delete(id);
    const abort = new AbortController();
    const { signal } = abort;
    const context = { layer: this.#layer, policy: this.#policy, paths, token: new_token(12) };
    const preparing = with_open_files(this.#layer, () => prepare(context, state, signal), "compactions");
    const ended = preparing
      .then(async (compaction) => {
        try {
          await this.#owner.finish(id, compaction, signal);
        } finally {
          await compaction.snapshot.discard(); // what is in place by now has another name
        }
      })
      .then(
        () => void this.#failed.delete(id),
        (error: unknown) => {
          if (is_failure(error) && !signal.aborted) {
            this.#failed.set(id, 2 * state.journal.end);
          }
          this.#owner.orphaned(id, context.token);
        },
      )
      .finally(() => {
        this.#running.delete(id);
        this.#noted.get(id)?.();
      });
    this.#running.set(id, { abort, prepared: preparing.catch(() => undefined), ended });
  }

  /** Under the session's lock: gives a compaction under way up. */
  async give_up(id: string): Promise<void> {
    this.#forget_timer(id);
    this.#noted.delete(id);
    const running = this.#running.get(id);
    running?.abort.abort();
    await (await running?.prepared)?.snapshot.discard();
  }

  #forget_timer(id: string): void {
    timers.clear_timeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  /** Resolves when the compactions under way have ended: of one session, or all. None waits any more. */
  async settled(id?: string): Promise<void> {
    for (const waiting of id === undefined ? [...this.#timers.keys()] : [id]) {
      this.#forget_timer(waiting);
    }
    const running = [...this.#running].filter(([of]) => id === undefined || of === id);
    await Promise.all(running.map(([, { ended }]) => ended));
  }

  /** Forgets that a compaction failed, because the session was compacted otherwise. */
  compacted(id: string): void {
    this.#failed.delete(id);
  }
}

/**
 * Writes the snapshot into which a session is compacted, while others may go on changing it: files are read that only
 * grow or are replaced, and one is written that nobody knows.
 * @throws {SessionError} `corrupt` where the files are no longer as this state says.
 */
async function prepare(
  context: PrepareContext,
  from: CompactableState,
  signal: AbortSignal,
): Promise<PreparedCompaction> {
  const { form, metadata, revision } = from;
  const content = { ...content_with_journal(context, from), signal };
  return { snapshot: await form.prepare(context, content, metadata, succession_of(from, revision)), from };
}

/** Another process may compact the session first, or remove the temporary file. That says nothing of the next compaction. */
function is_failure(error: unknown): boolean {
  const is_fault = !(error instanceof SessionError) || error.cause !== undefined;
  return is_fault && !is_errno(error, "ENOENT");
}
