import { ensure_directory, link_if_possible, remove_if_there, sync_directory } from "./fs/durable-files.js";
import { is_errno, NAME_REFUSALS, succeeds } from "./fs/file-layer.js";
import { FORMS } from "./snapshots/forms.js";
import { FORKS_ENDING, is_valid_id } from "./session-paths.js";
import type { ChangeContext, SnapshotForm } from "./snapshots/snapshot-form.js";

const ATTEMPTS = 5;

// The index of a parent's forks: a hard link to each fork's snapshot in `{parent}-forks`.

/** After the snapshot was replaced: the link leads to the new file, in the folder of the parent that it has now. */
export async function refresh_link(
  context: ChangeContext,
  form: SnapshotForm,
  old_parent: string | undefined,
  parent: string | undefined,
): Promise<void> {
  const { layer, paths, token } = context;
  if (old_parent !== parent) {
    await remove_link(context, old_parent);
  }
  if (!is_valid_id(parent)) {
    return;
  }
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    try {
      return await link(context, form, parent);
    } catch (error) {
      await remove_if_there(layer, paths.temporary(token));
      if (is_errno(error, ...NAME_REFUSALS)) {
        return; // the parent's folder cannot have this name here
      }
      if (!is_errno(error, "ENOENT") || attempt === ATTEMPTS) {
        throw error; // ENOENT: whoever removed the last other fork has removed the folder
      }
    }
  }
}

async function link(context: ChangeContext, form: SnapshotForm, parent: string): Promise<void> {
  const { layer, policy, paths, token } = context;
  const directory = paths.forks_directory(parent);
  if (((await layer.stat(directory))?.kind ?? "directory") !== "directory") {
    return; // something else has the name, which is not ours to follow or to remove
  }
  const path = paths.fork_link(parent, form.data_ending);
  const target = paths.file(form.data_ending);
  const linked = await layer.stat(path);
  if (linked?.kind === "directory" || (linked && linked.inode === (await layer.stat(target))?.inode)) {
    return; // a rename of one link over another of the same file does nothing
  }
  if (!(await link_if_possible(layer, target, paths.temporary(token)))) {
    return remove_link(context, parent); // rather no index than an outdated one
  }
  await ensure_directory(layer, directory, policy);
  await layer.rename(paths.temporary(token), path);
  await sync_directory(layer, directory, policy);
}

/** Removes links from the folders of all parents but this one. Costs a look at every folder. */
export async function sweep_links(context: ChangeContext, parent: string | undefined): Promise<void> {
  const { layer, paths } = context;
  const inode_of = async (of: string) => (await layer.stat(paths.forks_directory(of)))?.inode;
  const own = is_valid_id(parent) ? await inode_of(parent) : undefined;
  for (const name of await layer.names(paths.root)) {
    const owner = name.endsWith(FORKS_ENDING) ? name.slice(0, -FORKS_ENDING.length) : undefined;
    if (owner !== undefined && (await inode_of(owner)) !== own) {
      await remove_link(context, owner); // parents whose ids are alike may have one folder
    }
  }
}

/** Removes the link from the folder of a parent. */
export async function remove_link({ layer, policy, paths }: ChangeContext, parent: string | undefined): Promise<void> {
  if (!is_valid_id(parent)) {
    return;
  }
  const directory = paths.forks_directory(parent);
  let kind: string | undefined;
  await succeeds(NAME_REFUSALS, async () => (kind = (await layer.stat(directory))?.kind));
  if (kind !== "directory") {
    return;
  }
  for (const form of FORMS) {
    if (await remove_if_there(layer, paths.fork_link(parent, form.data_ending))) {
      await sync_directory(layer, directory, policy);
    }
  }
  await succeeds(["ENOTEMPTY", "EEXIST", "ENOENT"], () => layer.remove_directory(directory));
}
