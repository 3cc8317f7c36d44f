import type { FilePolicy } from "./durable-files.js";
import type { FileLayer } from "./file-layer.js";
import { can_fold, prepare_fold, type PreparedFold } from "./session-fold.js";
import type { SessionPaths } from "./session-paths.js";
import type { SessionState } from "./session-view.js";
import { new_token } from "./token.js";

/** A journal is folded into its snapshot when it outgrows it, and this. */
const MIN_FOLD_BYTES = 64 * 1024;
/** By so much: journal, folds and a last flush then write less than four times the messages, whenever that comes. */
const FOLD_RATIO = 1.25;

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
 * lock. A fold that fails is no loss, the journal holds everything.
 */
export class FoldScheduler {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #running = new Map<string, RunningFold>();
  /** Folds that failed: tried again when the journal has doubled, or at the next flush. */
  readonly #failed = new Map<string, number>();

  constructor(layer: FileLayer, policy: FilePolicy) {
    this.#layer = layer;
    this.#policy = policy;
  }

  /** After an append: begins a fold if the journal is long. */
  begin_if_long(paths: SessionPaths, state: SessionState, finish: FinishFold): void {
    const { id } = paths;
    const limit = Math.max(MIN_FOLD_BYTES, FOLD_RATIO * state.stamp.size, this.#failed.get(id) ?? 0);
    if (!can_fold(state) || state.journal.end <= limit || this.#running.has(id)) {
      return;
    }
    const abort = new AbortController();
    const context = { layer: this.#layer, policy: this.#policy, paths, token: new_token(12) };
    const preparing = prepare_fold(context, state, abort.signal);
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
        () => void (abort.signal.aborted || this.#failed.set(id, 2 * state.journal.end)),
      )
      .finally(() => this.#running.delete(id));
    this.#running.set(id, { abort, prepared: preparing.catch(() => undefined), ended });
  }

  /** Under the session's lock: gives a fold under way up. Nothing is left of it. */
  async give_up(id: string): Promise<void> {
    const running = this.#running.get(id);
    running?.abort.abort();
    await (await running?.prepared)?.snapshot.discard();
  }

  /** Resolves when the folds under way have ended: of one session, or all. */
  async settled(id?: string): Promise<void> {
    const running = [...this.#running].filter(([of]) => id === undefined || of === id);
    await Promise.all(running.map(([, { ended }]) => ended));
  }

  /** The session was folded otherwise. */
  folded(id: string): void {
    this.#failed.delete(id);
  }
}
