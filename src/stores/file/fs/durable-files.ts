import { dirname } from "node:path";
import { is_errno, REFUSALS, succeeds, type FileLayer, type OpenFile } from "./file-layer.js";

/** The options of a store that its files need, complete. */
export interface FilePolicy {
  durable: boolean;
  file_mode: number;
  directory_mode: number;
  lock_timeout_ms: number;
}

/** Creates a directory and those above it, each synced into its parent. What exists stays as it is. */
export async function ensure_directory(layer: FileLayer, path: string, policy: FilePolicy): Promise<void> {
  if ((await layer.real_path(path)) !== undefined) {
    return;
  }
  const above = dirname(path);
  await ensure_directory(layer, above, policy);
  await succeeds(["EEXIST"], () => layer.make_directory(path, policy.directory_mode));
  await sync_directory(layer, above, policy);
}

/** Syncs the names in a directory. Some file systems cannot do that on request. */
export async function sync_directory(layer: FileLayer, path: string, policy: FilePolicy): Promise<void> {
  await (policy.durable && succeeds(REFUSALS, () => layer.sync_directory(path)));
}

/** Makes a hard link. Returns false if there are none here, or the file has too many. */
export async function link_if_possible(layer: FileLayer, existing: string, path: string): Promise<boolean> {
  return succeeds([...REFUSALS, "EACCES", "EXDEV", "EMLINK", "EIO"], () => layer.link(existing, path));
}

/** Resolves when all of them have ended: nobody closes a file that is still used. Rejects with the first error. */
export async function all_settled(promises: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(promises);
  await Promise.all(promises);
}

/** Opens for the length of `use`; closes in every case. */
export async function with_file<T>(file: OpenFile, use: (file: OpenFile) => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await use(file);
  } catch (error) {
    await file.close().catch(() => undefined); // the first error says more
    throw error;
  }
  await file.close();
  return result;
}

/** Removes a file. A directory in its place is not this package's, and is moved aside. Returns true if there was either. */
export async function remove_if_there(layer: FileLayer, path: string): Promise<boolean> {
  try {
    return await succeeds(["ENOENT", "ENOTDIR"], () => layer.unlink(path));
  } catch (error) {
    if (!is_errno(error, "EISDIR", "EPERM") || (await layer.stat(path))?.kind !== "directory") {
      throw error;
    }
    await keep_aside(layer, path, "corrupt");
    return true;
  }
}

/** Returns true if there was such a file. */
export function rename_if_there(layer: FileLayer, from: string, to: string): Promise<boolean> {
  return succeeds(["ENOENT"], () => layer.rename(from, to));
}

/** A name for what is kept beside a file, that nobody has: `{path}.{reason}-{time}`. */
export async function free_name(layer: FileLayer, path: string, reason: "corrupt" | "conflict"): Promise<string> {
  const name = `${path}.${reason}-${new Date().toISOString().replace(/[-:.]/g, "")}`;
  let aside = name;
  for (let attempt = 2; await layer.stat(aside); attempt += 1) {
    aside = `${name}-${attempt}`;
  }
  return aside;
}

/**
 * Keeps a file under another name that nobody has; what is no regular file is moved there. Returns the name:
 * `{path}.{reason}-{time}`.
 */
export async function keep_aside(layer: FileLayer, path: string, reason: "corrupt" | "conflict"): Promise<string> {
  const is_file = (await layer.stat(path))?.kind === "file";
  for (;;) {
    const aside = await free_name(layer, path, reason);
    const keep = async () => (is_file && (await link_if_possible(layer, path, aside))) || layer.rename(path, aside);
    if (await succeeds(["EEXIST"], keep)) {
      return aside;
    } // otherwise another process has taken the name
  }
}
