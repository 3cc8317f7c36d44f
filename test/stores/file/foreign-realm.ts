import vm from "node:vm";
import type { FileLayer } from "../../../src/stores/file/fs/file-layer.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";

const new_error = vm.runInNewContext("(message, more) => Object.assign(new Error(message), more)") as (
  message: string,
  more: object,
) => Error;

/** An error that is no `instanceof Error` here, as those of `node:fs` are none in the sandbox of jest. */
export function foreign_error(message: string, code: string): Error {
  return new_error(message, { code });
}

/** An object all of whose errors come from another realm; so do those of what its methods return. */
function with_foreign_errors<T extends object>(inner: T): T {
  const rethrown = (error: unknown): never => {
    const { message, ...more } = error as Error;
    throw new_error(message, more);
  };
  const called = (method: (...args: unknown[]) => unknown, args: unknown[]): unknown => {
    try {
      const result = method.apply(inner, args);
      return result instanceof Promise ? result.then(opened, rethrown) : result;
    } catch (error) {
      return rethrown(error);
    }
  };
  return new Proxy(inner, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function"
        ? (...args: unknown[]) => called(value as (...args: unknown[]) => unknown, args)
        : value;
    },
  });
}

function opened(result: unknown): unknown {
  return typeof result === "object" && result !== null && "datasync" in result ? with_foreign_errors(result) : result;
}

export const FOREIGN_FILE_LAYER: FileLayer = with_foreign_errors(NODE_FILE_LAYER);
