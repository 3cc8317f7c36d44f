import type { FileLayer } from "../src/stores/file/fs/file-layer.js";
import { NODE_FILE_LAYER } from "../src/stores/file/fs/node-file-layer.js";

/** Node's file system, noting when the store does what saving a turn into a journal never asks for. */
export interface FoldWatch {
  layer: FileLayer;
  /** How often a snapshot has been put in its place. */
  readonly folds: number;
  /** From the first such operation to the end of the last, a new journal included; `undefined`: none yet. */
  readonly span: Span | undefined;
}

/** On the clock of `performance.now()`. */
export interface Span {
  began: number;
  ended: number;
}

/** Notes what is done while `is_watching` says so. */
export function fold_watch(is_watching: () => boolean): FoldWatch {
  const base = NODE_FILE_LAYER;
  let folds = 0;
  let span: Span | undefined;
  const noted = async <T>(operation: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await operation();
    if (is_watching()) {
      span = { began: span?.began ?? began, ended: performance.now() };
    }
    return result;
  };
  return {
    layer: {
      ...base,
      open(path, how) {
        const extends_journal = how === "modify" && path.endsWith(".journal");
        return extends_journal ? base.open(path, how) : noted(() => base.open(path, how));
      },
      create: (path, mode) => noted(() => base.create(path, mode)),
      async rename(from, to) {
        await noted(() => base.rename(from, to));
        folds += is_watching() && to.endsWith(".json") ? 1 : 0; // of both formats: the step with which it counts
      },
      sync_directory: (path) => noted(() => base.sync_directory(path)),
    },
    get folds() {
      return folds;
    },
    get span() {
      return span;
    },
  };
}
