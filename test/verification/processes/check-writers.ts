import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { resolve_session } from "../../../src/lineage.js";
import { session_kind } from "../../../src/metadata.js";
import type { SessionMetadata } from "../../../src/types.js";
import { name_of, session_of, type AppendTask } from "./append.js";
import { checksums_of_beginnings } from "./history-checksum.js";
import { tag_of } from "./tags.js";

interface Found {
  /** Their own messages alone. */
  own: Map<string, string[]>;
  /** Those that they inherit included. */
  whole: Map<string, string[]>;
  metadata: Map<string, SessionMetadata>;
  unreadable: string[];
}

async function find_all(root: string): Promise<Found> {
  const store = new FileSessionStore(root);
  const found: Found = { own: new Map(), whole: new Map(), metadata: new Map(), unreadable: [] };
  for (const { id } of await store.list()) {
    try {
      await find(store, id, found);
    } catch (error) {
      found.unreadable.push(`${id}: ${String(error)}`);
    }
  }
  return found;
}

async function find(store: FileSessionStore, id: string, found: Found): Promise<void> {
  const resolved = await resolve_session(id, (of) => store.load(of));
  if (resolved === undefined || resolved.missing.length > 0) {
    throw new Error(`${id} lacks what it inherits: ${resolved?.missing.join()}`);
  }
  found.own.set(id, resolved.record.messages.map(tag_of));
  found.whole.set(id, resolved.messages.map(tag_of));
  found.metadata.set(id, resolved.record.metadata);
}

function count_of(tags: Iterable<readonly string[]>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const tag of [...tags].flat()) {
    counts.set(tag, (counts.get(tag) ?? 0) + 1);
  }
  return counts;
}

/** Every message of every writer is there once, in its session, in its order, and no other is. */
export async function losses_of_appends(
  root: string,
  tasks: readonly Pick<AppendTask, "name" | "seed" | "count" | "sessions">[],
): Promise<string[]> {
  const { own, unreadable } = await find_all(root);
  const losses = [...unreadable];
  const counts = count_of(own.values());
  for (const task of tasks) {
    for (const id of task.sessions) {
      const expected = Array.from({ length: task.count }, (_, n) => n)
        .filter((n) => session_of(task, n) === id)
        .map((n) => name_of(task.name, n));
      const actual = (own.get(id) ?? []).filter((tag) => tag.startsWith(`${task.name}.`));
      const missing = expected.filter((tag) => !actual.includes(tag));
      losses.push(...missing.map((tag) => `${tag} is missing in ${id}`));
      if (missing.length === 0 && expected.join() !== actual.filter((tag, n) => actual.indexOf(tag) === n).join()) {
        losses.push(`${task.name} is out of order in ${id}`);
      }
    }
  }
  losses.push(...[...counts].filter(([, count]) => count > 1).map(([tag, count]) => `${tag} is there ${count} times`));
  const total = tasks.reduce((sum, { count }) => sum + count, 0);
  if (counts.size > total) {
    losses.push(`${counts.size} messages where ${total} were written`);
  }
  return losses;
}

/**
 * What managers said that they stored, against what is there. Each state that was acknowledged, inherited messages
 * included, is to be the beginning of what its session resolves to; each turn that was acknowledged is to be in the own
 * messages of exactly one session, and no turn in those of two; each conflict that was reported has its fork, and each
 * fork was reported, unless its writer was killed before it could.
 */
export async function losses_of_conversations(
  root: string,
  lines: readonly string[],
  kills: number,
): Promise<{ losses: string[]; conflicts: number; acknowledged: number }> {
  const { own, whole, metadata, unreadable } = await find_all(root);
  const losses = [...unreadable];
  const beginnings = new Map([...whole].map(([id, tags]) => [id, checksums_of_beginnings(tags)]));
  const counts = count_of(own.values());
  const acknowledged = new Set<string>();
  for (const line of lines.filter((line) => line.startsWith("stored "))) {
    const [, id = "", length, checksum, tag = ""] = line.split(" ");
    if (beginnings.get(id)?.[Number(length)] !== checksum) {
      losses.push(`${id} has not what was acknowledged: ${length} messages up to ${tag}`);
    }
    acknowledged.add(tag);
  }
  for (const answer of acknowledged) {
    const question = [...counts.keys()].find((tag) => tag.startsWith(answer.replace(/a:40$/, "q:")));
    if (answer !== "" && (counts.get(answer) !== 1 || question === undefined)) {
      losses.push(`the turn of ${answer} is in ${counts.get(answer) ?? 0} sessions`);
    }
  }
  losses.push(...[...counts].filter(([, count]) => count > 1).map(([tag, count]) => `${tag} is there ${count} times`));
  const conflicts = lines.filter((line) => line.startsWith("conflict ")).map((line) => line.split(" "));
  for (const [, id = "", fork_id = ""] of conflicts) {
    const fork = metadata.get(fork_id);
    if (fork === undefined || session_kind(fork) !== "fork" || fork.parent_id !== id) {
      losses.push(`the conflict in ${id} has no fork ${fork_id}`);
    }
  }
  const forks = [...metadata.values()].filter((entry) => session_kind(entry) === "fork").map(({ id }) => id);
  const reported = new Set(conflicts.map(([, , fork_id]) => fork_id));
  const silent = forks.filter((id) => !reported.has(id));
  if (reported.size !== conflicts.length || silent.length > kills) {
    losses.push(`${conflicts.length} conflicts reported, ${forks.length} forks, ${silent.length} of them unreported`);
  }
  return { losses, conflicts: conflicts.length, acknowledged: acknowledged.size };
}
