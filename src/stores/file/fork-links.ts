import { ensure_directory, NO_LINKS, remove_if_there, sync_directory } from "./durable-files.js";
import { is_errno } from "./file-layer.js";
import { FORMS } from "./forms.js";
import { FORKS_ENDING, is_valid_id } from "./session-paths.js";
import type { ChangeContext, SnapshotForm } from "./snapshot-form.js";

const ATTEMPTS = 5;

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
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      await ensure_directory(layer, paths.forks_directory(parent), policy);
      try {
        return await this.#link(form, parent);
      } catch (error) {
        await remove_if_there(layer, paths.temporary(lock.token));
        if (is_errno(error, ...NO_LINKS)) {
          await remove_if_there(layer, paths.fork_link(parent, form.data_ending)); // rather no index than an outdated one
          return;
        }
        if (!is_errno(error, "ENOENT") || attempt === ATTEMPTS) {
          throw error; // ENOENT: whoever removed the last other fork has removed the folder
        }
      }
    }
  }

  async #link(form: SnapshotForm, parent: string): Promise<void> {
    const { layer, policy, paths, lock } = this.#context;
    const directory = paths.forks_directory(parent);
    const folder = await layer.stat(directory);
    if (folder === undefined) {
      throw Object.assign(new Error(`${directory} is gone`), { code: "ENOENT" });
    }
    if (folder.kind !== "directory") {
      return; // something else has the name, which is not ours to follow or to remove
    }
    const link = paths.fork_link(parent, form.data_ending);
    const target = form.data_path(paths);
    const linked = await layer.stat(link);
    if (linked !== undefined && linked.inode === (await layer.stat(target))?.inode) {
      return; // a rename of one link over another of the same file does nothing
    }
    await layer.link(target, paths.temporary(lock.token));
    await layer.rename(paths.temporary(lock.token), link);
    await sync_directory(layer, directory, policy);
  }

  /** Removes links from the folders of all parents but this one. Costs a look at every folder. */
  async sweep(parent: string | undefined): Promise<void> {
    const { layer, paths } = this.#context;
    for (const name of await layer.names(paths.root)) {
      const owner = name.endsWith(FORKS_ENDING) ? name.slice(0, -FORKS_ENDING.length) : undefined;
      if (owner !== undefined && owner !== parent) {
        await this.remove(owner);
      }
    }
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
