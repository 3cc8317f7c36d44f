import { keep_aside, remove_if_there, rename_if_there, sync_directory } from "./durable-files.js";
import { find_form, FORMS } from "./forms.js";
import type { ChangeContext } from "./snapshot-form.js";

/** Removes all files of a session but its draft. Returns whether there was one. */
export async function remove_session(context: ChangeContext): Promise<boolean> {
  const { layer, policy, paths, lock } = context;
  let existed = false;
  for (const form of FORMS) {
    existed = (await move_head_away(context, form.head_path(paths))) || existed;
  }
  if (existed) {
    await sync_directory(layer, paths.root, policy); // without its journal a snapshot would be an older session
    await remove_if_there(layer, paths.temporary(lock.token));
  }
  await remove_followers(context);
  return existed;
}

/**
 * Takes a head its name, if it still is this writer's to remove. It is moved away first and looked at then: one that has
 * been stopped for so long that its lock was broken must not remove what its successor has stored.
 */
async function move_head_away({ layer, paths, lock }: ChangeContext, head: string): Promise<boolean> {
  await lock.require_held();
  const grave = paths.temporary(lock.token);
  if (!(await rename_if_there(layer, head, grave))) {
    return false;
  }
  if (!(await lock.is_held())) {
    if ((await layer.stat(head)) === undefined) {
      await rename_if_there(layer, grave, head);
    }
    throw lock.broken();
  }
  return true;
}

/** Removes the files that are nothing without a head, in whatever form, and others with them. */
export async function remove_followers(context: ChangeContext, others: readonly string[] = []): Promise<void> {
  const { paths } = context;
  const heads = new Set(FORMS.map((form) => form.head_path(paths)));
  const all = [...FORMS.flatMap((form) => form.file_paths(paths)), paths.journal, ...others];
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
