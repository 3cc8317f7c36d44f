import process from "node:process";
import { NODE_FILE_LAYER } from "../../src/stores/file/fs/node-file-layer.js";

/** In the environment, so that the processes that a method starts have the same kind of locks. */
const NAME = "SESSION_VERIFICATION_LOCKS";

/** True if there are no symbolic links, so that locks are files. */
export function locks_are_files(): boolean {
  return process.env[NAME] === "files";
}

/** Runs a task, and the processes that it starts, without symbolic links. */
export async function with_lock_files<T>(task: () => Promise<T>): Promise<T> {
  process.env[NAME] = "files";
  const before = { ...NODE_FILE_LAYER };
  NODE_FILE_LAYER.symlink = refused_symlink;
  try {
    return await task();
  } finally {
    delete process.env[NAME];
    Object.assign(NODE_FILE_LAYER, before);
  }
}

/** Answers as a file system without symbolic links does. */
export function refused_symlink(): Promise<never> {
  return Promise.reject(Object.assign(new Error("EPERM: no symbolic links"), { code: "EPERM" }));
}

if (locks_are_files()) {
  NODE_FILE_LAYER.symlink = refused_symlink; // in the programs that a method starts
}
