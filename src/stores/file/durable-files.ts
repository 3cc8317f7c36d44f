import { dirname } from "node:path";
import { is_errno, type FileLayer, type OpenFile } from "./file-layer.js";

/** How new files are made, and whether they are synced. */
export interface FilePolicy {
  durable: boolean;
  file_mode: number;
  directory_mode: number;
}

/** Creates a directory and those above it, each synced into its parent. What exists stays as it is. */
export async function ensure_directory(layer: FileLayer, path: string, policy: FilePolicy): Promise<void> {
  if ((await layer.real_path(path)) !== undefined) {
    return;
  }
  const above = dirname(path);
  await ensure_directory(layer, above, policy);
  try {
    await layer.make_directory(path, policy.directory_mode);
  } catch (error) {
    if (!is_errno(error, "EEXIST")) {
      throw error;
    }
  }
  await sync_directory(layer, above, policy);
}

export async function sync_directory(layer: FileLayer, path: string, policy: FilePolicy): Promise<void> {
  if (policy.durable) {
    await layer.sync_directory(path);
  }
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

/** Returns whether there was such a file. */
export async function remove_if_there(layer: FileLayer, path: string): Promise<boolean> {
  try {
    await layer.unlink(path);
    return true;
  } catch (error) {
    if (is_errno(error, "ENOENT", "ENOTDIR")) {
      return false;
    }
    throw error;
  }
}

/** Returns whether there was such a file. */
export async function rename_if_there(layer: FileLayer, from: string, to: string): Promise<boolean> {
  try {
    await layer.rename(from, to);
    return true;
  } catch (error) {
    if (is_errno(error, "ENOENT")) {
      return false;
    }
    throw error;
  }
}

/** A name for what is kept beside a file, that nobody has: `{path}.{reason}-{time}`. */
export async function free_name(layer: FileLayer, path: string, reason: "corrupt" | "conflict"): Promise<string> {
  const name = name_aside(path, reason);
  for (let attempt = 1; ; attempt += 1) {
    const aside = attempt === 1 ? name : `${name}-${attempt}`;
    if ((await layer.stat(aside)) === undefined) {
      return aside;
    }
  }
}

function name_aside(path: string, reason: "corrupt" | "conflict"): string {
  return `${path}.${reason}-${new Date().toISOString().replace(/[-:.]/g, "")}`;
}

/**
 * Keeps a file under another name that nobody has; what is no regular file is moved there. Returns the name:
 * `{path}.{reason}-{time}`.
 */
export async function keep_aside(layer: FileLayer, path: string, reason: "corrupt" | "conflict"): Promise<string> {
  const name = name_aside(path, reason);
  const is_file = (await layer.stat(path))?.kind === "file";
  for (let attempt = 1; ; attempt += 1) {
    const aside = attempt === 1 ? name : `${name}-${attempt}`;
    try {
      if (is_file) {
        await layer.link(path, aside);
        return aside;
      }
    } catch (error) {
      if (is_errno(error, "EEXIST")) {
        continue;
      }
      if (!is_errno(error, ...NO_LINKS)) {
        throw error;
      }
    }
    if ((await layer.stat(aside)) === undefined) {
      await layer.rename(path, aside);
      return aside;
    }
  }
}

/** What file systems without hard links, or with too few, answer. */
export const NO_LINKS = ["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EMLINK", "EINVAL"];
