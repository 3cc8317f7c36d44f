import { system_error, type HookedLayer, type Operation } from "../../stores/file/hooked-layer.js";
import type { FaultyDevice } from "./device.js";

/** One way in which an operation of the file system fails. */
export interface Fault {
  name: string;
  /** The operations that can fail like that; all where missing. */
  operations?: readonly string[];
  /** Called in place of the operation: throws, or says how many bytes are written. */
  strike(operation: Operation, device: FaultyDevice, is_first: boolean): void | number;
}

const NAMES = ["create", "make_directory", "rename", "link", "symlink"];
const REMOVALS = ["unlink", "remove_directory"];
const SYNCS = ["file.sync", "file.datasync"];

/** A sync that fails has written nothing, and the pages stay in memory as if it had. */
function errno(code: string, operations?: readonly string[]): Fault {
  return {
    name: code,
    ...(operations && { operations }),
    strike({ name, path }, device) {
      if (SYNCS.includes(name)) {
        device.fail_sync(path, "stay in memory");
      }
      throw system_error(code);
    },
  };
}

/** The same, but what it was to write is gone from memory too. */
const DROPPED_PAGES: Fault = {
  name: "a sync that drops its pages",
  operations: SYNCS,
  strike({ path }, device) {
    device.fail_sync(path, "are dropped");
    throw system_error("EIO");
  },
};

/** The disk becomes full in the middle of a write. */
const SHORT_WRITE: Fault = {
  name: "a short write",
  operations: ["file.write"],
  strike(_operation, _device, is_first) {
    if (is_first) {
      return 7;
    }
    throw system_error("ENOSPC");
  },
};

export const FAULTS: readonly Fault[] = [
  errno("EIO"),
  errno("ENOSPC", [...NAMES, "file.write", ...SYNCS]),
  errno("EDQUOT", [...NAMES, "file.write", ...SYNCS]),
  errno("EMFILE", ["open", "create", "names", "sync_directory"]),
  errno("EACCES", ["open", "stat", "readlink", "names", "sync_directory", ...NAMES, ...REMOVALS]),
  errno("EXDEV", ["rename", "link"]),
  SHORT_WRITE,
  DROPPED_PAGES,
];

export type Extent = "once" | "for ever";

/** From the nth operation on, counted from now, this goes wrong. Returns where it first did, if it did. */
export function arm(
  layer: HookedLayer,
  device: FaultyDevice,
  { fault, n, extent }: { fault: Fault; n: number; extent: Extent },
): () => string | undefined {
  let strikes = 0;
  let first: string | undefined;
  layer.hook = (operation) => {
    const is_now = extent === "once" ? operation.n === n : operation.n >= n;
    if (is_now && can_fail(fault, operation.name)) {
      strikes += 1;
      first ??= `${operation.name} ${operation.path.replace(/[0-9a-f]{12}\.tmp$/, "*.tmp")}`;
      return fault.strike(operation, device, strikes === 1);
    }
  };
  return () => first;
}

export function can_fail({ operations }: Fault, name: string): boolean {
  return operations === undefined || operations.includes(name);
}
