import { join } from "node:path";
import { reason_of, SessionError } from "../../errors.js";
import type { FileLayer } from "./file-layer.js";
import { FORMS } from "./forms.js";
import { read_draft } from "./session-drafts.js";
import { session_names } from "./session-listing.js";
import { DRAFT_ENDING, FORKS_ENDING, is_valid_id, JOURNAL_ENDING, SessionPaths } from "./session-paths.js";
import { read_session } from "./session-reader.js";
import type { SessionView } from "./session-view.js";

/** What `FileSessionStore.verify` found. */
export interface FileSessionProblem {
  /**
   * - `corrupt`: the session cannot be read; `repair` salvages what is readable
   * - `foreign_journal`: another writer replaced the snapshot; the next write of the session keeps both histories
   * - `torn_journal`: a write that was never acknowledged, or a last record that was damaged; the next write cuts it off,
   *   and keeps what looks like a damaged record aside
   * - `orphaned_journal`: a journal without its session
   * - `orphaned_messages`: an `.ndjson` file without its `.meta.json`
   * - `corrupt_draft`: the draft of a session cannot be read; the next one replaces it
   * - `orphaned_draft`: a draft without its session
   * - `two_formats`: the session is there in both formats; `.meta.json` counts
   * - `fork_link`: a fork is missing from its parent's folder, the link there is outdated, or is no fork's
   * - `set_aside`: what an earlier repair, replacement or foreign write left for a person to look at
   * - `leftover`: a temporary file or a lock of a process that may be gone
   */
  code:
    | "corrupt"
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

/** Looks at every file of a directory of sessions, reads all of it, and changes nothing. */
export async function verify_directory(layer: FileLayer, root: string): Promise<FileSessionProblem[]> {
  const problems: FileSessionProblem[] = [];
  const sessions = await session_names(layer, root, FORMS);
  const known = new Set(sessions.map(({ id }) => id));
  const links = new Set<string>();
  for (const { id } of sessions) {
    problems.push(...(await verify_session(layer, new SessionPaths(root, id), links)));
  }
  for (const name of sessions.length > 0 || (await layer.real_path(root)) ? await layer.names(root) : []) {
    problems.push(...verify_name(root, name, known), ...(await verify_folder(layer, root, name, links)));
  }
  const damaged = new Set(problems.filter(({ code }) => code === "corrupt").map(({ session_id }) => session_id));
  return problems.filter(({ code, session_id }) => code !== "fork_link" || !damaged.has(session_id)); // whose, is unknown
}

async function verify_session(
  layer: FileLayer,
  paths: SessionPaths,
  links: Set<string>,
): Promise<FileSessionProblem[]> {
  const session_id = paths.id;
  const problems: FileSessionProblem[] = [];
  const found = await Promise.all(FORMS.map(async (form) => (await layer.stat(form.head_path(paths))) !== undefined));
  if (found.every(Boolean)) {
    const path = paths.file(".json");
    problems.push({ code: "two_formats", path, session_id, message: `${path} is not read: .meta.json counts` });
  }
  try {
    await read_draft(layer, paths);
  } catch (error) {
    const message = reason_of(error);
    problems.push({ code: "corrupt_draft", path: paths.draft, session_id, message });
  }
  let view: SessionView | undefined;
  try {
    view = await read_session(layer, paths);
  } catch (error) {
    const path = error instanceof SessionError && error.path !== undefined ? error.path : paths.file(".json");
    const message = reason_of(error);
    return [...problems, { code: "corrupt", path, session_id, message }];
  }
  const journal = view?.state.journal;
  if (journal?.relation === "foreign") {
    const message = "another writer replaced the snapshot that this journal continues";
    problems.push({ code: "foreign_journal", path: paths.journal, session_id, message });
  } else if (journal !== undefined && journal.stamp.size > journal.end) {
    const message = `the last ${journal.stamp.size - journal.end} bytes are no whole record: a write that was never acknowledged, or a damaged one`;
    problems.push({ code: "torn_journal", path: paths.journal, session_id, message });
  }
  return view === undefined ? problems : [...problems, ...(await verify_link(layer, paths, view, links))];
}

async function verify_link(
  layer: FileLayer,
  paths: SessionPaths,
  view: SessionView,
  links: Set<string>,
): Promise<FileSessionProblem[]> {
  const { form, metadata } = view.state;
  if (!is_valid_id(metadata.parent_id)) {
    return [];
  }
  const path = paths.fork_link(metadata.parent_id, form.data_ending);
  links.add(path);
  const link = await layer.stat(path);
  const file = await layer.stat(form.data_path(paths));
  if (link?.inode === file?.inode) {
    return [];
  }
  const message = link === undefined ? "the link to the fork is missing" : "the link leads to an older file";
  return [{ code: "fork_link", path, session_id: paths.id, message }];
}

/** What is in a folder of forks and is none of that parent. */
async function verify_folder(
  layer: FileLayer,
  root: string,
  name: string,
  links: ReadonlySet<string>,
): Promise<FileSessionProblem[]> {
  const folder = join(root, name);
  if (!name.endsWith(FORKS_ENDING) || (await layer.stat(folder))?.kind !== "directory") {
    return [];
  }
  const strangers = (await layer.names(folder)).filter((entry) => !links.has(join(folder, entry)));
  return strangers.map((entry) => ({
    code: "fork_link",
    path: join(folder, entry),
    session_id: entry.replace(/\.(nd)?json$/, ""),
    message: `${entry} in ${name} leads to no fork of that session`,
  }));
}

function verify_name(root: string, name: string, known: ReadonlySet<string>): FileSessionProblem[] {
  const path = join(root, name);
  if (/\.(corrupt|conflict)-\d{8}T\d{9}Z(-\d+)?$/.test(name)) {
    return [{ code: "set_aside", path, message: `${name} was kept for a person to look at` }];
  }
  if (/\.[0-9a-f]{12}(\.draft)?\.tmp$/.test(name) || /\.(draft-)?lock$/.test(name) || name.endsWith(".ndjson.next")) {
    return [{ code: "leftover", path, message: `${name} belongs to a write under way, or to a process that is gone` }];
  }
  for (const [ending, code] of ORPHANS) {
    const session_id = name.endsWith(ending) ? name.slice(0, -ending.length) : undefined;
    if (session_id !== undefined && !known.has(session_id)) {
      return [{ code, path, message: `${name} has no session`, session_id }];
    }
  }
  return [];
}
