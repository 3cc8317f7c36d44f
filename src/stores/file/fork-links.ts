import { ensure_directory, NO_LINKS, remove_if_there, sync_directory } from "./durable-files.js";
import { is_errno } from "./file-layer.js";
import { FORMS } from "./forms.js";
import { is_valid_id } from "./session-paths.js";
import type { ChangeContext, SnapshotForm } from "./snapshot-form.js";

/** The index of a parent's forks: a hard link to each fork's snapshot in `{parent}-forks`. */
export class ForkLinks {
  readonly #context: ChangeContext;

  constructor(context: ChangeContext) {
    this.#context = context;
  }

  /** After the snapshot was replaced: the link leads to the new file, in the folder of the parent that it has now. */
  async refresh(form: SnapshotForm, old_parent: string | undefined, parent: string | undefined): Promise<void> {
    const { layer, policy, paths, lock } = this.#context;
    if (old_parent !== parent) {
      await this.remove(old_parent);
    }
    if (!is_valid_id(parent)) {
      return;
    }
    const directory = paths.forks_directory(parent);
    const link = paths.fork_link(parent, form.data_ending);
    const target = form.data_path(paths);
    await ensure_directory(layer, directory, policy);
    if ((await layer.stat(directory))?.kind !== "directory") {
      return; // something else has the name, which is not ours to follow or to remove
    }
    const linked = await layer.stat(link);
    if (linked !== undefined && linked.inode === (await layer.stat(target))?.inode) {
      return; // a rename of one link over another of the same file does nothing
    }
    const temporary = paths.temporary(lock.token);
    try {
      await layer.link(target, temporary);
      await layer.rename(temporary, link);
    } catch (error) {
      await remove_if_there(layer, temporary);
      if (!is_errno(error, ...NO_LINKS)) {
        throw error;
      }
      await remove_if_there(layer, link); // rather no index than an outdated one
      return;
    }
    await sync_directory(layer, directory, policy);
  }

  async remove(parent: string | undefined): Promise<void> {
    const { layer, policy, paths } = this.#context;
    if (!is_valid_id(parent)) {
      return;
    }
    const directory = paths.forks_directory(parent);
    if ((await layer.stat(directory))?.kind !== "directory") {
      return;
    }
    for (const form of FORMS) {
      if (await remove_if_there(layer, paths.fork_link(parent, form.data_ending))) {
        await sync_directory(layer, directory, policy);
      }
    }
    try {
      await layer.remove_directory(directory);
    } catch (error) {
      if (!is_errno(error, "ENOTEMPTY", "EEXIST", "ENOENT")) {
        throw error;
      }
    }
  }
}
