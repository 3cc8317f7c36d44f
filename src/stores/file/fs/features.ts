import { join } from "node:path";
import { ensure_directory, link_if_possible, remove_if_there, with_file, type FilePolicy } from "./durable-files.js";
import { REFUSALS, succeeds, type FileLayer } from "./file-layer.js";
import { new_token } from "./token.js";

/** The operations that the file system of a directory offers. */
export interface FileSystemFeatures {
  /** Locks are symbolic links, or files where there are none. */
  lock: "symlink" | "file";
  /** Without them `{parent}-forks/` has no links to forks. */
  hard_links: boolean;
  /** Without them a power cut may take what was acknowledged last. */
  directory_sync: boolean;
  /** False: files have other modes than the store gives them. */
  modes: boolean;
  /** False: no two ids may differ in case alone. */
  case_sensitive: boolean;
}

/** Not the usual modes of a mount without modes. */
const MODE = 0o604;

/** Tries each operation on files of its own, and removes them. No session can have their names. */
export async function probe_file_system(
  layer: FileLayer,
  root: string,
  policy: FilePolicy,
): Promise<FileSystemFeatures> {
  await ensure_directory(layer, root, policy);
  const new_name = () => join(root, `.probe.${new_token(12)}.tmp`);
  const [file, link, hard_link] = [new_name(), new_name(), new_name()];
  try {
    await with_file(await layer.create(file, MODE), () => Promise.resolve());
    return {
      lock: (await succeeds([...REFUSALS, "EACCES"], () => layer.symlink("target", link))) ? "symlink" : "file",
      hard_links: await link_if_possible(layer, file, hard_link),
      directory_sync: await succeeds(REFUSALS, () => layer.sync_directory(root)),
      modes: (await layer.stat(file))?.mode === MODE,
      case_sensitive: (await layer.stat(file.replace(/\.tmp$/, ".TMP"))) === undefined,
    };
  } finally {
    for (const path of [file, link, hard_link]) {
      await remove_if_there(layer, path).catch(() => undefined); // the first error says more
    }
  }
}
