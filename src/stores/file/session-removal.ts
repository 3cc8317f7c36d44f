import { keep_aside, remove_if_there, sync_directory } from "./durable-files.js";
import { find_form, FORMS } from "./forms.js";
import type { ChangeContext } from "./snapshot-form.js";

/** Removes all files of a session. Returns whether there was one. */
export async function remove_session(context: ChangeContext): Promise<boolean> {
  const { layer, policy, paths } = context;
  const existed = await remove_all(
    context,
    FORMS.map((form) => form.head_path(paths)),
  );
  if (existed) {
    await sync_directory(layer, paths.root, policy); // without its journal a snapshot would be an older session
  }
  const had_draft = (await layer.stat(paths.draft)) !== undefined;
  await remove_followers(context);
  if (had_draft) {
    await sync_directory(layer, paths.root, policy); // under the same id it would come back
  }
  return existed;
}

/** Removes the files that are nothing without a head, in whatever form. */
export async function remove_followers(context: ChangeContext): Promise<void> {
  const { paths } = context;
  const heads = new Set(FORMS.map((form) => form.head_path(paths)));
  const all = [...FORMS.flatMap((form) => form.file_paths(paths)), paths.journal, paths.draft];
  await remove_all(
    context,
    all.filter((path) => !heads.has(path)),
  );
}

/** Returns whether there were any. */
async function remove_all({ layer, lock }: ChangeContext, files: readonly string[]): Promise<boolean> {
  let existed = false;
  for (const path of files) {
    await lock.require_held(); // each of them may be a successor's by now
    existed = (await remove_if_there(layer, path)) || existed;
  }
  return existed;
}

/**
 * Keeps what cannot be read under other names, before it is replaced. Returns where. Until then it keeps its own
 * name too: what is damaged is never missing.
 */
export async function keep_session_aside({ layer, policy, paths, lock }: ChangeContext): Promise<string[]> {
  await lock.require_held(); // a writer that has lost it may have read one file before and one after another's change
  const form = await find_form(layer, paths);
  const kept: string[] = [];
  for (const path of [paths.journal, ...(form?.file_paths(paths) ?? [])]) {
    if ((await layer.stat(path)) !== undefined) {
      kept.push(await keep_aside(layer, path, "corrupt"));
    }
  }
  await sync_directory(layer, paths.root, policy);
  return kept;
}
