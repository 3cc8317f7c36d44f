import { SessionError } from "../../errors.js";
import { ensure_directory, remove_if_there, sync_directory, type FilePolicy } from "./durable-files.js";
import { is_errno, type FileLayer } from "./file-layer.js";
import { is_valid_id, type SessionPaths } from "./session-paths.js";

/** What file systems without hard links, or with too few, answer. */
const NO_LINKS = ["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EMLINK", "EINVAL"];

/** The index of a parent's forks: a hard link to each fork's snapshot in `{parent}-forks`. */
export class ForkLinks {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #paths: SessionPaths;
  readonly #token: string;

  constructor(layer: FileLayer, policy: FilePolicy, paths: SessionPaths, token: string) {
    this.#layer = layer;
    this.#policy = policy;
    this.#paths = paths;
    this.#token = token;
  }

  /** After the snapshot was replaced: the link leads to the new file, in the folder of the parent that it has now. */
  async refresh(old_parent: string | undefined, parent: string | undefined): Promise<void> {
    if (old_parent !== parent) {
      await this.remove(old_parent);
    }
    if (!is_valid_id(parent)) {
      return;
    }
    const directory = this.#paths.forks_directory(parent);
    const link = this.#paths.fork_link(parent);
    await ensure_directory(this.#layer, directory, this.#policy);
    if ((await this.#layer.stat(directory))?.kind !== "directory") {
      throw new SessionError("storage", `${directory} is not a directory`, { path: directory });
    }
    const linked = await this.#layer.stat(link);
    if (linked !== undefined && linked.inode === (await this.#layer.stat(this.#paths.snapshot))?.inode) {
      return; // a rename of one link over another of the same file does nothing
    }
    const temporary = this.#paths.temporary(this.#token);
    try {
      await this.#layer.link(this.#paths.snapshot, temporary);
      await this.#layer.rename(temporary, link);
    } catch (error) {
      await remove_if_there(this.#layer, temporary);
      if (!is_errno(error, ...NO_LINKS)) {
        throw error;
      }
      await remove_if_there(this.#layer, link); // rather no index than an outdated one
      return;
    }
    await sync_directory(this.#layer, directory, this.#policy);
  }

  /** After a change of metadata alone. */
  async move(old_parent: string | undefined, parent: string | undefined): Promise<void> {
    if (old_parent !== parent) {
      await this.refresh(old_parent, parent);
    }
  }

  async remove(parent: string | undefined): Promise<void> {
    if (!is_valid_id(parent)) {
      return;
    }
    const directory = this.#paths.forks_directory(parent);
    if ((await this.#layer.stat(directory))?.kind !== "directory") {
      return;
    }
    if (await remove_if_there(this.#layer, this.#paths.fork_link(parent))) {
      await sync_directory(this.#layer, directory, this.#policy);
    }
    try {
      await this.#layer.remove_directory(directory);
    } catch (error) {
      if (!is_errno(error, "ENOTEMPTY", "EEXIST", "ENOENT")) {
        throw error;
      }
    }
  }
}
