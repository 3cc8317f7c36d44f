import { dirname } from "node:path";
import type { FileStamp } from "../../../src/stores/file/fs/file-layer.js";
import type { LoggedDisk } from "../crash-states/logged-disk.js";
import type { Bytes } from "./bytes.js";
import type { Access } from "./causality.js";

type OnName =
  "open" | "peek" | "stat" | "real_path" | "names" | "remove_directory" | "unlink" | "readlink" | "sync_directory";
type OnFile = "file.stat" | "file.sync" | "file.datasync" | "file.close";

/** What is asked of the disk, as data. A `file` is the number of an opened one, in the order of the actor's own. */
export type DiskOperation = { path: string } & (
  | { name: OnName }
  | { name: "create" | "make_directory"; mode: number }
  | { name: "rename" | "link"; from: string }
  | { name: "symlink"; target: string }
  | { name: OnFile; file: number }
  | { name: "file.read"; file: number; position: number; length: number }
  | { name: "file.write"; file: number; position: number; data: Buffer }
  | { name: "file.truncate"; file: number; size: number }
);

/** What came of it. */
export interface Outcome {
  /** All that whoever asked can tell from the answer: equal where the answers are. */
  seen: string;
  value?: unknown;
  error?: Error;
}

export interface Place {
  disk: LoggedDisk;
  bytes: Bytes;
}

/** Files that get their name when their content does not change any more. */
const IS_WHOLE = /\.(json|ndjson)$/;

/** `files`: the inodes of what the actor has opened. */
export function perform(operation: DiskOperation, place: Place, files: number[]): Outcome {
  try {
    return answer(operation, place, files);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) {
      throw error;
    }
    return { seen: code, error: error as Error };
  }
}

function answer(operation: DiskOperation, { disk, bytes }: Place, files: number[]): Outcome {
  const { path } = operation;
  switch (operation.name) {
    case "open":
      return { seen: "", value: files.push(disk.open(path)) - 1 };
    case "peek": {
      const inode = disk.open(path);
      const data = disk.data_of(inode);
      return { seen: bytes.digest_of(data), value: { stamp: disk.stamp_of(inode), bytes: data } };
    }
    case "create":
      return { seen: "", value: files.push(disk.create(path, operation.mode)) - 1 };
    case "stat":
      return stamp(disk.stat(path));
    case "real_path": {
      const is_there = disk.inode_of(path) !== undefined;
      return { seen: String(is_there), value: is_there ? path : undefined };
    }
    case "names": {
      const names = disk.names(path).sort(); // in the order in which they were made they say who was first
      return { seen: names.join("/"), value: names };
    }
    case "make_directory":
      return nothing(disk.make_directory(path, operation.mode));
    case "remove_directory":
      return nothing(disk.remove_directory(path));
    case "rename":
      return nothing(disk.rename(operation.from, path));
    case "link":
      return nothing(disk.link(operation.from, path));
    case "unlink":
      return nothing(disk.unlink(path));
    case "symlink":
      return nothing(disk.symlink(operation.target, path));
    case "readlink": {
      const target = disk.readlink(path);
      return { seen: target, value: target };
    }
    case "sync_directory":
      return nothing(disk.sync_directory(path));
    case "file.stat":
      return stamp(disk.stamp_of(inode_of(operation.file, files)));
    case "file.read": {
      const { position, length } = operation;
      const data = disk.data_of(inode_of(operation.file, files));
      return { seen: bytes.digest_of(data), value: data.subarray(position, position + length) };
    }
    case "file.write":
      disk.write(inode_of(operation.file, files), path, operation.data, operation.position);
      return { seen: "", value: operation.data.length };
    case "file.truncate":
      return nothing(disk.truncate(inode_of(operation.file, files), path, operation.size));
    case "file.sync":
      return nothing(disk.sync(inode_of(operation.file, files), path, "sync"));
    case "file.datasync":
      return nothing(disk.sync(inode_of(operation.file, files), path, "datasync"));
    case "file.close":
      return nothing();
  }
}

function nothing(_done?: void): Outcome {
  return { seen: "" };
}

function stamp(value: FileStamp | undefined): Outcome {
  const seen = value && `${value.inode} ${value.size} ${value.mtime_ns} ${value.mode} ${value.kind}`;
  return { seen: seen ?? "nothing", value };
}

function inode_of(file: number, files: readonly number[]): number {
  const inode = files[file];
  if (inode === undefined) {
    throw new Error(`file ${file} was never opened`);
  }
  return inode;
}

/** What an operation touches, if it is done now. */
export function accesses_of(operation: DiskOperation, disk: LoggedDisk, files: readonly number[]): Access[] {
  const { path } = operation;
  switch (operation.name) {
    case "open":
    case "real_path":
    case "readlink":
      return [reads(path)];
    case "peek": {
      const inode = disk.inode_of(path);
      return [reads(path), ...(inode === undefined ? [] : [reads(content(inode))])];
    }
    case "stat": {
      const inode = disk.inode_of(path);
      if (inode === undefined || IS_WHOLE.test(path)) {
        return [reads(path)];
      }
      return [reads(path), disk.stamp_of(inode).kind === "directory" ? lists(path) : reads(content(inode))];
    }
    case "names":
      return [lists(path)];
    case "create":
    case "make_directory":
    case "symlink":
      return naming(path, disk.inode_of(path) === undefined);
    case "link":
      return [reads(operation.from), ...naming(path, disk.inode_of(path) === undefined)];
    case "rename": {
      const is_possible = disk.inode_of(operation.from) !== undefined;
      return [...naming(operation.from, is_possible), ...naming(path, is_possible)];
    }
    case "unlink":
      return naming(path, disk.inode_of(path) !== undefined);
    case "remove_directory":
      return [...naming(path, true), lists(path)];
    case "file.stat":
    case "file.read":
      return [reads(content(inode_of(operation.file, files)))];
    case "file.write":
    case "file.truncate":
      return [writes(content(inode_of(operation.file, files)))];
    default:
      return [];
  }
}

/** Puts a name there or takes it away, if that is possible now. */
function naming(path: string, is_possible: boolean): Access[] {
  return is_possible ? [writes(path), changes(dirname(path))] : [reads(path)];
}

function reads(thing: string): Access {
  return { thing, writes: false };
}

function writes(thing: string): Access {
  return { thing, writes: true };
}

function content(inode: number): string {
  return `content ${inode}`;
}

/** Changes of the names in a directory commute with each other, and not with looking at all of them. */
function changes(directory: string): Access {
  return { thing: `names in ${directory}`, writes: false };
}

function lists(directory: string): Access {
  return { thing: `names in ${directory}`, writes: true };
}
