import { basename, dirname, join } from "node:path";
import { reason_of, SessionError } from "../../../errors.js";
import { NotASession } from "../format/corrupt.js";
import type { FilePolicy } from "../fs/durable-files.js";
import type { FileLayer } from "../fs/file-layer.js";
import { probe_file_system } from "../fs/features.js";
import { FORMS } from "../snapshots/forms.js";
import { read_draft } from "../session-drafts.js";
import { find_incomplete_copy, session_names } from "../list/session-listing.js";
import { DRAFT_ENDING, FORKS_ENDING, is_valid_id, JOURNAL_ENDING, SessionPaths } from "../session-paths.js";
import { read_session } from "../session-reader.js";
import type { SessionView } from "../session-view.js";
import type { SnapshotForm } from "../snapshots/snapshot-form.js";

/** A problem that `FileSessionStore.verify` found. */
export interface FileSessionProblem {
  /**
   * - `corrupt`: the session cannot be read; `repair` salvages what is readable
   * - `not_a_session`: valid JSON, but no object with metadata or messages, or an incomplete copy of another session's files;
   *   `list` leaves it out
   * - `foreign_journal`: another writer replaced the snapshot; the next write of the session keeps both histories
   * - `torn_journal`: a write that was never acknowledged, or a last record that was damaged; the next write cuts it off,
   *   and keeps what looks like a damaged record aside
   * - `orphaned_journal`: a journal without its session
   * - `orphaned_messages`: an `.ndjson` file without its `.meta.json`
   * - `corrupt_draft`: the draft of a session cannot be read; the next one replaces it
   * - `orphaned_draft`: a draft without its session
   * - `two_formats`: the session is there in both formats; `.meta.json` counts
   * - `fork_link`: a fork is missing from its parent's folder, the link there is outdated, or is no fork's; or that is no folder
   * - `set_aside`: what an earlier repair, replacement or foreign write left for a person to look at
   * - `leftover`: a temporary file or a lock of a process that may be gone
   */
  code:
    | "corrupt"
    | "not_a_session"
    | "foreign_journal"
    | "torn_journal"
    | "orphaned_journal"
    | "orphaned_messages"
    | "corrupt_draft"
    | "orphaned_draft"
    | "two_formats"
    | "fork_link"
    | "set_aside"
    | "leftover";
  path: string;
  message: string;
  session_id?: string;
}

const ORPHANS = [
  [JOURNAL_ENDING, "orphaned_journal"],
  [".ndjson", "orphaned_messages"],
  [DRAFT_ENDING, "orphaned_draft"],
] as const;

type Report = (code: FileSessionProblem["code"], path: string, message: string, session_id?: string) => void;

/** Links to forks, and whether there can be any. */
interface Links {
  /** The links that there should be. */
  keys: Set<string>;
  are_possible: () => Promise<boolean>;
}

/** Looks at every file of a directory of sessions, reads all of it, and changes nothing. */
export async function verify_directory(
  layer: FileLayer,
  root: string,
  policy: FilePolicy,
): Promise<FileSessionProblem[]> {
  const problems: FileSessionProblem[] = [];
  const report: Report = (code, path, message, session_id) => {
    problems.push({ code, path, message, ...(session_id !== undefined && { session_id }) });
  };
  const sessions = await session_names(layer, root, FORMS);
  const known = new Map(sessions.map(({ id, form }) => [id, form]));
  let features: Promise<{ hard_links: boolean }> | undefined;
  const are_possible = async () => {
    features ??= probe_file_system(layer, root, policy).catch(() => ({ hard_links: false })); // nobody can make them
    return (await features).hard_links;
  };
  const links: Links = { keys: new Set(), are_possible };
  for (const { id } of sessions) {
    await verify_session(layer, new SessionPaths(root, id), links, report);
  }
  for (const name of sessions.length > 0 || (await layer.real_path(root)) ? await layer.names(root) : []) {
    verify_name(root, name, known, report);
    await verify_folder(layer, join(root, name), links.keys, report);
  }
  const damaged = new Set(problems.filter(({ code }) => code === "corrupt").map(({ session_id }) => session_id));
  return problems.filter(({ code, session_id }) => code !== "fork_link" || !damaged.has(session_id)); // whose, is unknown
}

async function verify_session(layer: FileLayer, paths: SessionPaths, links: Links, report: Report): Promise<void> {
  const { id } = paths;
  const found = await Promise.all(FORMS.map((form) => layer.stat(paths.file(form.head_ending))));
  if (found.every(Boolean)) {
    const path = paths.file(".json");
    report("two_formats", path, `${path} is not read: .meta.json counts`, id);
  }
  await read_draft(layer, paths).catch((error: unknown) => {
    report("corrupt_draft", paths.draft, reason_of(error), id);
  });
  let view: SessionView | undefined;
  try {
    view = await read_session(layer, paths);
  } catch (error) {
    const copy = await find_incomplete_copy(layer, paths);
    const path = copy ?? (error instanceof SessionError ? error.path : undefined) ?? paths.file(".json");
    const code = copy !== undefined || error instanceof NotASession ? "not_a_session" : "corrupt";
    return report(code, path, reason_of(error), id);
  }
  const journal = view?.state.journal;
  if (journal?.relation === "foreign") {
    report("foreign_journal", paths.journal, "another writer replaced the snapshot that this journal continues", id);
  } else if (journal && journal.stamp.size > journal.end) {
    const message = `the last ${journal.stamp.size - journal.end} bytes are no whole record: a write that was never acknowledged, or a damaged one`;
    report("torn_journal", paths.journal, message, id);
  }
  await (view && verify_link(layer, paths, view, links, report));
}

async function verify_link(
  layer: FileLayer,
  paths: SessionPaths,
  { state: { form, metadata } }: SessionView,
  links: Links,
  report: Report,
): Promise<void> {
  if (!is_valid_id(metadata.parent_id)) {
    return;
  }
  const path = paths.fork_link(metadata.parent_id, form.data_ending);
  links.keys.add(await key_of_link(layer, path));
  const is_folder = (await layer.stat(dirname(path)))?.kind === "directory";
  const link = is_folder ? await layer.stat(path) : undefined;
  const file = await layer.stat(paths.file(form.data_ending));
  if (link?.inode !== file?.inode && (link || (await links.are_possible()))) {
    const message = link ? "the link leads to an older file" : "the link to the fork is missing";
    report("fork_link", path, message, paths.id);
  }
}

/** A link by the inode of its folder, since parents whose ids are alike may have one folder. */
async function key_of_link(layer: FileLayer, path: string): Promise<string> {
  return join(`${(await layer.stat(dirname(path)))?.inode}`, basename(path));
}

/** Reports what is in a folder of forks and is none of that parent. */
async function verify_folder(
  layer: FileLayer,
  folder: string,
  links: ReadonlySet<string>,
  report: Report,
): Promise<void> {
  const name = basename(folder);
  const found = name.endsWith(FORKS_ENDING) ? await layer.stat(folder) : undefined;
  if (found?.kind !== "directory") {
    return found && report("fork_link", folder, `${name} is no folder of forks`);
  }
  for (const entry of await layer.names(folder)) {
    const path = join(folder, entry);
    if (!links.has(await key_of_link(layer, path))) {
      const message = `${entry} in ${name} leads to no fork of that session`;
      report("fork_link", path, message, entry.replace(/\.(nd)?json$/, ""));
    }
  }
}

function verify_name(root: string, name: string, known: ReadonlyMap<string, SnapshotForm>, report: Report): void {
  const path = join(root, name);
  if (/\.(corrupt|conflict)-\d{8}T\d{9}Z(-\d+)?$/.test(name)) {
    return report("set_aside", path, `${name} was kept for a person to look at`);
  }
  if (/\.[0-9a-f]{12}(\.draft)?\.tmp$|\.(draft-)?lock$|\.ndjson\.next$/.test(name)) {
    return report("leftover", path, `${name} belongs to a write under way, or to a process that is gone`);
  }
  for (const [ending, code] of ORPHANS) {
    const session_id = name.slice(0, -ending.length);
    const form = known.get(session_id);
    const is_its_own = ending === ".ndjson" ? form?.data_ending === ending : form !== undefined;
    if (name.endsWith(ending) && !is_its_own) {
      report(code, path, `${name} has no session`, session_id);
    }
  }
}
