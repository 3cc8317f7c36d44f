import type { FileLayer } from "../../../src/stores/file/file-layer.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/node-file-layer.js";

const ELSEWHERE = "abcdef";

/** A layer whose locks are, to everybody else, those of a process on another machine. */
export function disguised(inner: FileLayer = NODE_FILE_LAYER): FileLayer {
  /** What its locks say to itself, by what they say to others. */
  const own = new Map<string, string>();
  const overrides: Pick<FileLayer, "symlink" | "readlink"> = {
    async symlink(target, path) {
      const seen = target.split(".").with(3, ELSEWHERE).join(".");
      own.set(seen, target);
      await inner.symlink(seen, path);
    },
    async readlink(path) {
      const seen = await inner.readlink(path);
      return own.get(seen) ?? seen;
    },
  };
  return new Proxy(inner, {
    get(target, property, receiver) {
      const from = property in overrides ? overrides : target;
      const value: unknown = Reflect.get(from, property, from === target ? receiver : overrides);
      return typeof value === "function" ? (value as () => unknown).bind(from) : value;
    },
  });
}
