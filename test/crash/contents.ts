import { createHash } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { FileSessionStore } from "../../src/stores/file/file-session-store.js";
import type { FileLayer } from "../../src/stores/file/file-layer.js";
import { has_code } from "../../src/errors.js";
import type { StoredSession } from "../../src/types.js";
import { type MemoryDisk, ROOT_INODE } from "./memory-disk.js";

export const ROOT = "/sessions";

/** No session, and one that cannot be read. */
export const GONE = "gone";
export const CORRUPT = "corrupt";

/** A session as a new reader finds it, in one text; what else goes wrong is its error. */
export async function content_of(layer: FileLayer, id: string): Promise<string> {
  try {
    const session = await new FileSessionStore(ROOT, {}, layer).load(id);
    return session === undefined ? GONE : JSON.stringify(session);
  } catch (error) {
    return has_code(error, CORRUPT) ? CORRUPT : String(error);
  }
}

let last: { content: string; session: StoredSession | undefined } = { content: GONE, session: undefined };

/** The session that a content stands for, which is not to be changed; `undefined`: it is none. */
export function session_in(content: string): StoredSession | undefined {
  if (last.content !== content) {
    last = { content, session: content.startsWith("{") ? (JSON.parse(content) as StoredSession) : undefined };
  }
  return last.session;
}

export function messages_in(content: string): Message[] {
  return session_in(content)?.messages ?? [];
}

/** The names in the store's directory, and what they lead to; none before it is there. */
export function entries_of(disk: MemoryDisk): ReadonlyMap<string, number> {
  const inode = disk.directory(ROOT_INODE).entries.get(ROOT.slice(1));
  return inode === undefined ? new Map() : disk.directory(inode).entries;
}

/** Every id that has a file from which a session could be read. */
export function ids_on(disk: MemoryDisk): string[] {
  const ids = [...entries_of(disk).keys()].flatMap((name) => /^(.+?)(?:\.meta)?\.json$/.exec(name)?.[1] ?? []);
  return [...new Set(ids)];
}

/** The fork links, and whether each leads to a session's own file. */
export function links_on(disk: MemoryDisk): string {
  const own = entries_of(disk);
  const links = [...own]
    .filter(([name]) => name.endsWith("-forks"))
    .flatMap(([folder, forks]) => [...disk.directory(forks).entries].map(([name, file]) => ({ folder, name, file })));
  return links
    .map(({ folder, name, file }) => `${folder}/${name}${own.get(name) === file ? "" : " (another)"}`)
    .sort()
    .join();
}

/** Enough of a content to compare it and to recognise it. */
export function digest(content: string): string {
  return content.length < 800
    ? content
    : `${content.slice(0, 200)} … ${createHash("sha1").update(content).digest("base64")}`;
}
