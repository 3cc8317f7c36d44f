import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { session_kind, type SessionMetadata } from "@simulacra-ai/session";
import { bold, claim, dim, kilobytes, note, short } from "./claims.js";

/** Prints the sessions as a tree, each under its parent. */
export function print_tree(entries: readonly SessionMetadata[]): void {
  const oldest_first = [...entries].sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  const print_children = (parent_id: string | undefined, indent: string) => {
    const children = oldest_first.filter((entry) => entry.parent_id === parent_id);
    for (const [index, entry] of children.entries()) {
      const is_last = index === children.length - 1;
      const branch = parent_id === undefined ? "" : is_last ? "└─ " : "├─ ";
      const below = parent_id === undefined ? "" : is_last ? "   " : "│  ";
      console.log(`    ${columns(indent + branch, entry)}`);
      print_children(entry.id, indent + below);
    }
  };
  print_children(undefined, "");
}

function columns(branch: string, entry: SessionMetadata): string {
  const inherited = entry.fork_message_count === undefined ? "" : ` + ${entry.fork_message_count} inherited`;
  const room = Math.max(0, 36 - branch.length);
  const label = (entry.label ?? "(no label)").padEnd(room);
  const kind = session_kind(entry).padEnd(11);
  return `${branch}${bold(label)} ${kind} ${dim(short(entry.id))} ${String(entry.message_count).padStart(5)} messages${inherited}`;
}

interface Entry {
  name: string;
  size: number;
  inode: number;
  links: number;
}

/** Prints the files, and checks that they are exactly what these sessions are at rest. */
export async function print_files(directory: string, entries: readonly SessionMetadata[]): Promise<void> {
  const files = await read_entries(directory);
  const links = new Map<string, Entry[]>();
  for (const name of files.filter(is_forks_directory).map((entry) => entry.name)) {
    links.set(name, await read_entries(join(directory, name)));
  }
  const sessions = files.filter((entry) => !is_forks_directory(entry));
  for (const file of sessions) {
    console.log(`    ${describe(file)}`);
    for (const link of links.get(`${id_of(file)}-forks`) ?? []) {
      console.log(`      ${dim(`${short(id_of(file))}-forks/`)}${describe(link)}`);
    }
  }
  await check_files(directory, sessions, [...links.values()].flat(), entries);
}

async function check_files(
  directory: string,
  sessions: readonly Entry[],
  links: readonly Entry[],
  entries: readonly SessionMetadata[],
): Promise<void> {
  const wanted = entries.map((entry) => `${entry.id}.json`).sort();
  const is_at_rest = sessions.length === wanted.length && sessions.every((file, at) => file.name === wanted[at]);
  claim(is_at_rest, "one file a session, and nothing else: no journal, no lock, no temporary file");
  const with_parent = entries.filter((entry) => entry.parent_id !== undefined);
  const shared = links.filter((link) => sessions.some((file) => file.name === link.name && file.inode === link.inode));
  claim(
    shared.length === with_parent.length && links.length === shared.length && shared.every((link) => link.links === 2),
    `${shared.length} fork links, each the same inode as its session's file`,
  );
  const readable = await Promise.all(
    entries.map(async ({ id, message_count }) => {
      const text = await readFile(join(directory, `${id}.json`), "utf8");
      return (JSON.parse(text) as { messages: unknown[] }).messages.length === message_count;
    }),
  );
  claim(readable.every(Boolean), "every file is plain JSON and holds as many messages as the list says");
}

/** Prints what a killed process left. */
export async function print_leftovers(directory: string): Promise<void> {
  for (const { name, size } of await read_entries(directory)) {
    note(`${shortened(name).padEnd(24)} ${kilobytes(size).padStart(10)}`);
  }
}

async function read_entries(directory: string): Promise<Entry[]> {
  const names = (await readdir(directory)).sort();
  return Promise.all(
    names.map(async (name) => {
      const { size, ino, nlink } = await lstat(join(directory, name));
      return { name, size, inode: ino, links: nlink };
    }),
  );
}

function is_forks_directory({ name }: Entry): boolean {
  return name.endsWith("-forks");
}

function id_of({ name }: Entry): string {
  return name.slice(0, -".json".length);
}

function describe({ name, size, inode }: Entry): string {
  return `${shortened(name).padEnd(16)} ${kilobytes(size).padStart(10)}  ${dim(`inode ${inode}`)}`;
}

/** Ids are long and random; the rest of a name is kept. */
function shortened(name: string): string {
  return name.replace(/^[0-9a-f]{8}-[0-9a-f-]{27}/, (id) => short(id));
}
