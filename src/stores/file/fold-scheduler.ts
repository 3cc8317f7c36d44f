import { timers } from "../../async/timers.js";
import { SessionError } from "../../errors.js";
import { remove_if_there, type FilePolicy } from "./fs/durable-files.js";
import type { FileLayer } from "./fs/file-layer.js";
import { can_fold, prepare_fold, type FoldableState, type PreparedFold } from "./session-fold.js";
import type { SessionPaths } from "./session-paths.js";
import type { SessionState } from "./session-view.js";
import { new_token } from "./fs/token.js";

/** A journal is folded into its snapshot when it outgrows it, and this. */
const MIN_FOLD_BYTES = 64 * 1024;
/** By so much: journal, folds and a last flush then write less than four times the messages, whenever that comes. */
const FOLD_RATIO = 1.25;
/** A fold waits for a pause between the appends, until the journal is so many times as long as that. */
const MOST_PATIENCE = 2;
const PAUSE_MS = 2;

interface RunningFold {
  abort: AbortController;
  /** `undefined`: it failed. */
  prepared: Promise<PreparedFold | undefined>;
  ended: Promise<void>;
}

/** Puts a fold in place, under the session's lock; one that was given up meanwhile is not. */
type FinishFold = (fold: PreparedFold, signal: AbortSignal) => Promise<void>;

/**
 * Folds journals that have become long, beside the appends that go on: only putting a fold in place takes the session's
 * lock, and what an append waits for goes first. A fold that fails is no loss, the journal holds everything.
 */
export class FoldScheduler {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  /** Resolves when the changes of a session that were asked for so far have ended. */
  readonly #changes_ended: (id: string) => Promise<void>;
  /** Folds that wait for a pause: the last one that was asked for. */
  readonly #waiting = new Map<string, object>();
  readonly #running = new Map<string, RunningFold>();
  /** Folds that failed: tried again when the journal has doubled, or at the next flush. */
  readonly #failed = new Map<string, number>();
  /** Temporary files that folds have left, and their sessions. */
  readonly #left = new Map<string, string>();

  constructor(layer: FileLayer, policy: FilePolicy, changes_ended: (id: string) => Promise<void>) {
    this.#layer = layer;
    this.#policy = policy;
    this.#changes_ended = changes_ended;
  }

  /** After an append: if the journal is long, a fold begins in the next pause, or now. */
  begin_if_long(paths: SessionPaths, state: SessionState, finish: FinishFold): void {
    const { id } = paths;
    const limit = Math.max(MIN_FOLD_BYTES, FOLD_RATIO * state.stamp.size, this.#failed.get(id) ?? 0);
    if (!can_fold(state) || state.journal.end <= limit || this.#running.has(id)) {
      return;
    }
    if (state.journal.end > MOST_PATIENCE * limit) {
      this.#begin(paths, state, finish);
      return;
    }
    const waiting = {};
    this.#waiting.set(id, waiting);
    timers.set_timeout(() => {
      if (this.#waiting.get(id) === waiting) {
        this.#begin(paths, state, finish);
      }
    }, PAUSE_MS);
  }

  #begin(paths: SessionPaths, state: FoldableState, finish: FinishFold): void {
    const { id } = paths;
    this.#waiting.delete(id);
    const abort = new AbortController();
    const { signal } = abort;
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const others_first = () => Promise.race([this.#changes_ended(id), aborted]);
    const context = { layer: this.#layer, policy: this.#policy, paths, token: new_token(12) };
    const preparing = prepare_fold(context, state, { signal, others_first });
    const ended = preparing
      .then(async (fold) => {
        try {
          await finish(fold, abort.signal);
        } finally {
          await fold.snapshot.discard(); // what is in place by now has another name
        }
      })
      .then(
        () => void this.#failed.delete(id),
        (error: unknown) => {
          if (is_failure(error) && !abort.signal.aborted) {
            this.#failed.set(id, 2 * state.journal.end);
          }
          this.#left.set(paths.temporary(context.token), id);
          return this.#remove_left(paths);
        },
      )
      .finally(() => this.#running.delete(id));
    this.#running.set(id, { abort, prepared: preparing.catch(() => undefined), ended });
  }

  /** Under the session's lock: gives a fold under way up. Nothing is left of it, or of those before. */
  async give_up(paths: SessionPaths): Promise<void> {
    this.#waiting.delete(paths.id);
    const running = this.#running.get(paths.id);
    running?.abort.abort();
    await (await running?.prepared)?.snapshot.discard();
    await this.#remove_left(paths);
  }

  /** Resolves when the folds under way have ended: of one session, or all. None waits for a pause any more. */
  async settled(id?: string): Promise<void> {
    for (const waiting of id === undefined ? [...this.#waiting.keys()] : [id]) {
      this.#waiting.delete(waiting);
    }
    const running = [...this.#running].filter(([of]) => id === undefined || of === id);
    await Promise.all(running.map(([, { ended }]) => ended));
  }

  /** Under the session's lock: the session was folded otherwise. */
  async folded(paths: SessionPaths): Promise<void> {
    this.#failed.delete(paths.id);
    await this.#remove_left(paths);
  }

  async #remove_left({ id }: SessionPaths): Promise<void> {
    for (const [path, of] of this.#left) {
      const removed = of === id && remove_if_there(this.#layer, path).then(() => this.#left.delete(path));
      await (removed && removed.catch(() => undefined)); // until the next time
    }
  }
}

/** Another process may take the file of a fold for what a dead one has left; that says nothing of the next fold. */
function is_failure(error: unknown): boolean {
  return !(error instanceof SessionError) || error.cause !== undefined;
}
