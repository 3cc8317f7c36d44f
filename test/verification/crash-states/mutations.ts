import type { LogEntry } from "./logged-disk.js";

/** A log in which something is done in the wrong order, or not at all; `undefined`: there is no such thing in it. */
export type Mutate = (log: readonly LogEntry[]) => LogEntry[] | undefined;

type Pattern = string | RegExp | ((entry: LogEntry) => boolean);

function fits(entry: LogEntry, pattern: Pattern): boolean {
  return typeof pattern === "function"
    ? pattern(entry)
    : typeof pattern === "string"
      ? entry.label === pattern
      : pattern.test(entry.label);
}

/** Where operations come one after the other, others between them. */
function find(log: readonly LogEntry[], ...patterns: Pattern[]): number[] | undefined {
  const found: number[] = [];
  for (const pattern of patterns) {
    const from = (found.at(-1) ?? -1) + 1;
    const at = log.findIndex((entry, index) => index >= from && fits(entry, pattern));
    if (at < 0) {
      return undefined;
    }
    found.push(at);
  }
  return found;
}

/** The entries from `begin` up to `end` stand before the one at `to`, or behind it. */
function moved(log: readonly LogEntry[], [begin, end]: [number, number], to: number): LogEntry[] {
  const taken = log.slice(begin, end + 1);
  const rest = [...log.slice(0, begin), ...log.slice(end + 1)];
  rest.splice(to < begin ? to : to + 1 - taken.length, 0, ...taken);
  return rest;
}

/** What is done last is done first. */
function swapped(first: Pattern, ...group: Pattern[]): Mutate {
  return (log) => {
    const found = find(log, first, ...group);
    const [to, begin] = found ?? [];
    return found && moved(log, [begin ?? 0, found.at(-1) ?? 0], to ?? 0);
  };
}

/** What is done first is done only when the last has been. */
function delayed(first: Pattern, ...until: Pattern[]): Mutate {
  return (log) => {
    const found = find(log, first, ...until);
    return found && moved(log, [found[0] ?? 0, found[0] ?? 0], found.at(-1) ?? 0);
  };
}

const ACKNOWLEDGED: Pattern = (entry) => entry.kind === "end" && entry.change.is_traced;

/** A torn tail is left where it is, and the record written behind it. */
const weld: Mutate = (log) => {
  const at = log.findIndex((entry) => entry.kind === "truncate");
  const truncate = log[at];
  if (truncate?.kind !== "truncate") {
    return undefined;
  }
  const before = log.slice(0, at).filter((entry) => entry.kind === "write" && entry.inode === truncate.inode);
  const size = Math.max(...before.map((entry) => (entry.kind === "write" ? entry.position + entry.data.length : 0)));
  return log
    .filter((_, index) => index !== at)
    .map((entry, index) =>
      index >= at && entry.kind === "write" && entry.inode === truncate.inode
        ? { ...entry, position: entry.position + size - truncate.size }
        : entry,
    );
};

function without(log: readonly LogEntry[], pattern: Pattern): LogEntry[] | undefined {
  const left = log.filter((entry) => !fits(entry, pattern));
  return left.length === log.length ? undefined : left;
}

/** The journal is removed at once, and gets no other name before: that is the snapshot's until it is in place. */
function without_grave(log: readonly LogEntry[], retired: number): LogEntry[] {
  const result = [...log];
  const entry = log[retired];
  if (entry?.kind === "entries") {
    result[retired] = { ...entry, label: "unlink {id}.journal", changes: entry.changes.slice(0, 1) };
  }
  result.splice(retired + 1, 1);
  return result;
}

const SNAPSHOT = /^rename to \{id\}\.(meta\.)?json$/;
/** A journal gets another name before it is removed. */
const RETIRED: Pattern = (entry) =>
  entry.kind === "entries" &&
  entry.label === "rename to {id}.tmp" &&
  entry.changes[0]?.name.endsWith(".journal") === true;
const SYNCED = /^sync_directory after /;
const NEW_SNAPSHOT = /^sync_directory after rename to \{id\}\.(meta\.)?json$/;
const JOURNAL = "rename to {id}.journal";
const NEW_JOURNAL = "sync_directory after rename to {id}.journal";
/** A head gets another name before it is removed, too. */
const REMOVED: Pattern = (entry) =>
  entry.kind === "entries" && entry.label === "rename to {id}.tmp" && entry.changes[0]?.name.endsWith(".json") === true;
const GONE = "sync_directory after rename to {id}.tmp";
const DRAFTED = "rename to {id}.draft";
const HEAD = "rename to {id}.meta.json";
/** What a process writes beside others gets the name that belongs to the lock before it gets its own. */
const COMPACTION_BEGINS: Pattern = (entry) => entry.label === "rename to {id}.tmp" && !fits(entry, RETIRED);

/** Where a compaction renames a new journal over the one before. */
function renewal(log: readonly LogEntry[]): number {
  return find(log, COMPACTION_BEGINS, SNAPSHOT, JOURNAL)?.[2] ?? 0;
}

export interface OrderMutation {
  /** What is wrong with the order. */
  name: string;
  mutate: Mutate;
}

/** Every rule of order that the files depend on, broken. */
export const ORDERS: OrderMutation[] = [
  { name: "a journal is there before its snapshot", mutate: delayed(SNAPSHOT, JOURNAL, SYNCED) },
  { name: "a session is removed behind its journal", mutate: swapped(REMOVED, "unlink {id}.journal") },
  { name: "a new journal is acknowledged before its name is synced", mutate: delayed(NEW_JOURNAL, ACKNOWLEDGED) },
  {
    name: "a first record is acknowledged before it is synced",
    mutate: (log) => {
      const [begun = 0, ended = 0] = find(log, JOURNAL, ACKNOWLEDGED) ?? [];
      const synced = log.slice(0, begun).findLastIndex((entry) => entry.label === "sync {id}.tmp");
      return synced < 0 ? undefined : moved(log, [synced, synced], ended);
    },
  },
  { name: "a record is acknowledged before it is synced", mutate: delayed("datasync {id}.journal", ACKNOWLEDGED) },
  { name: "a record is written behind a torn tail", mutate: weld },
  { name: "a snapshot is renamed before it is synced", mutate: delayed("sync {id}.tmp", SNAPSHOT) },
  { name: "a save is acknowledged before its name is synced", mutate: delayed(NEW_SNAPSHOT, ACKNOWLEDGED) },
  { name: "a delete is acknowledged before it is synced", mutate: delayed(GONE, ACKNOWLEDGED) },
  {
    name: "a journal is retired before its snapshot is in place",
    mutate: (log) => {
      const [retired = 0] = find(log, RETIRED) ?? [];
      const to = log.slice(0, retired).findLastIndex((entry) => fits(entry, SNAPSHOT));
      return to < 0 ? undefined : moved(without_grave(log, retired), [retired, retired], to);
    },
  },
  {
    name: "a journal is retired before the name of its snapshot is synced",
    mutate: (log) => {
      const [retired = 0] = find(log, RETIRED) ?? [];
      const synced = log.slice(0, retired).findLastIndex((entry) => fits(entry, NEW_SNAPSHOT));
      return synced < 0 ? undefined : moved(log, [synced, synced], retired + 1);
    },
  },
  {
    name: "a journal is renewed before its snapshot is in place",
    mutate: (log) => {
      const renewed = renewal(log);
      const created = log.slice(0, renewed).findLastIndex((entry) => entry.label === "create {id}.tmp");
      const begun = log.slice(0, created).findLastIndex((entry) => fits(entry, COMPACTION_BEGINS));
      return begun < 0 ? undefined : moved(log, [created, renewed], begun);
    },
  },
  {
    name: "a journal is renewed before the name of its snapshot is synced",
    mutate: (log) => {
      const renewed = renewal(log);
      const synced = log.slice(0, renewed).findLastIndex((entry) => fits(entry, NEW_SNAPSHOT));
      return synced < 0 ? undefined : moved(log, [synced, synced], renewed);
    },
  },
  {
    name: "a renewed journal is renamed before it is synced",
    mutate: (log) => {
      const renewed = renewal(log);
      const synced = log.slice(0, renewed).findLastIndex((entry) => entry.label === "sync {id}.tmp");
      return synced < 0 ? undefined : moved(log, [synced, synced], renewed);
    },
  },
  ...[
    { begin: "begin append", name: "a draft is removed before its turn is stored" },
    { begin: "begin delete", name: "a draft is removed before its session is" },
  ].map(({ begin, name }) => ({
    name,
    mutate: (log: readonly LogEntry[]) => {
      const removed = find(log, begin, "unlink {id}.draft")?.[1] ?? 0;
      const begun = log
        .slice(0, removed)
        .findLastIndex(({ kind, label }) => kind === "begin" && label !== "begin flush");
      return log[begun]?.label === begin ? moved(log, [removed, removed], begun + 1) : undefined;
    },
  })),
  {
    name: "a draft is renamed over another before it is synced",
    mutate: (log) => {
      const [synced] = [...sync_names(log)].findLast(([, name]) => name === `sync {id}.draft.tmp, ${DRAFTED}`) ?? [];
      const renamed = log.findIndex(({ label }, index) => label === DRAFTED && index > (synced ?? 0));
      return synced === undefined ? undefined : moved(log, [synced, synced], renamed);
    },
  },
  {
    name: "a draft is acknowledged before its name is synced",
    mutate: delayed(`sync_directory after ${DRAFTED}`, ACKNOWLEDGED),
  },
  {
    name: "a draft is gone before that is synced",
    mutate: delayed("sync_directory after unlink {id}.draft", ACKNOWLEDGED),
  },
  {
    name: "a fork link is not refreshed",
    mutate: (log) => without(log, /^rename to forks\//),
  },
  {
    name: "a fork link is acknowledged before it is synced",
    mutate: delayed(
      /^sync_directory after rename to forks\//,
      (entry) => entry.kind === "end" && !entry.change.is_traced,
    ),
  },
  {
    name: "the messages take their place before their head does",
    mutate: (log) => {
      const [head = 0, data = 0] =
        find(log, "rename to {id}.ndjson.next", HEAD, "rename to {id}.ndjson")?.slice(1) ?? [];
      return data === 0 ? undefined : moved(log, [data, data], head);
    },
  },
  {
    name: "a head is there before its messages",
    mutate: (log) => {
      const [next = 0, head = 0] = find(log, "rename to {id}.ndjson.next", HEAD) ?? [];
      return head === 0 ? undefined : moved(log, [next, next + 1], head);
    },
  },
  {
    name: "a journal that another writer left behind is retired before its history is stored",
    mutate: (log) => {
      const aside = log.findIndex(
        (entry) => entry.kind === "entries" && entry.changes.some(({ name }) => name.includes(".journal.conflict-")),
      );
      const unlinked = log.findIndex(({ label }, index) => index > aside && label === "unlink {id}.tmp");
      const stored = log.slice(0, aside).findLastIndex((entry) => fits(entry, SNAPSHOT));
      return aside < 0 || stored < 0 ? undefined : moved(log, [aside, unlinked], stored);
    },
  },
];

/** A log without these syncs. */
export function without_syncs(log: readonly LogEntry[], drops: (name: string) => boolean): LogEntry[] | undefined {
  const names = sync_names(log);
  const left = log.filter((_, index) => !drops(names.get(index) ?? ""));
  return left.length === log.length ? undefined : left;
}

/** Every sync in a log, by what it is for: that of a temporary file by what the file becomes. */
export function sync_names(log: readonly LogEntry[]): Map<number, string> {
  const names = new Map<number, string>();
  log.forEach((entry, index) => {
    const is_sync = entry.kind === "sync_directory" || entry.kind === "sync";
    if (is_sync && !entry.label.startsWith("place ")) {
      names.set(index, entry.label);
    }
    if (entry.kind === "sync" && entry.label.endsWith(".tmp")) {
      const gives_name = (other: LogEntry) =>
        other.kind === "entries" &&
        other.changes.some(({ inode, name }) => inode === entry.inode && !name.endsWith(".tmp"));
      names.set(index, `${entry.label}, ${log.slice(index).find(gives_name)?.label ?? "given up"}`);
    }
  });
  return names;
}

/** From where on two logs differ. */
export function first_difference(a: readonly LogEntry[], b: readonly LogEntry[]): number {
  const at = a.findIndex((entry, index) => entry !== b[index]);
  return at < 0 ? a.length : at;
}
