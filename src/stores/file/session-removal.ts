import { keep_aside, remove_if_there, rename_if_there, sync_directory } from "./fs/durable-files.js";
import { find_form, FORMS } from "./snapshots/forms.js";
import { JOURNAL_ENDING } from "./session-paths.js";
import type { ChangeContext } from "./snapshots/snapshot-form.js";

/** Removes all files of a session but its draft. Returns whether there was one. */
export async function remove_session(context: ChangeContext): Promise<boolean> {
  const { layer, policy, paths, lock } = context;
  let existed = false;
  for (const form of FORMS) {
    existed = (await move_head_away(context, paths.file(form.head_ending))) || existed;
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
  const is_directory = (await layer.stat(head))?.kind === "directory";
  await lock.require_held(); // right before the name is changed
  if (is_directory) {
    return remove_if_there(layer, head);
  }
  const grave = paths.temporary(lock.token);
  if (!(await rename_if_there(layer, head, grave))) {
    return false;
  }
  const is_held = await lock.is_held();
  const is_back = !is_held && (await layer.stat(head)) === undefined && (await rename_if_there(layer, grave, head));
  if (!is_back) {
    lock.begin_writing(); // whoever took the lock over may have removed it
  }
  if (!is_held) {
    throw lock.broken();
  }
  return true;
}

/** Removes the files that are nothing without a head, in whatever form, and others with them. */
export async function remove_followers(
  { layer, paths, lock }: ChangeContext,
  others: readonly string[] = [],
): Promise<void> {
  const endings = FORMS.flatMap((form) => form.endings.filter((ending) => ending !== form.head_ending));
  for (const path of [...endings.map((ending) => paths.file(ending)), paths.journal, ...others]) {
    await lock.require_held(); // each of them may be a successor's by now
    await remove_if_there(layer, path);
  }
}

/**
 * Keeps what cannot be read under other names, before it is replaced. Returns where. Until then it keeps its own
 * name too: what is damaged is never missing.
 */
export async function keep_session_aside({ layer, policy, paths, lock }: ChangeContext): Promise<string[]> {
  await lock.require_held(); // a writer that has lost it may have read one file before and one after another's change
  const form = await find_form(layer, paths);
  const kept: string[] = [];
  for (const path of [JOURNAL_ENDING, ...(form?.endings ?? [])].map((ending) => paths.file(ending))) {
    if (await layer.stat(path)) {
      kept.push(await keep_aside(layer, path, "corrupt"));
    }
  }
  await sync_directory(layer, paths.root, policy);
  return kept;
}
