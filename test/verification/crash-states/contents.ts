import { createHash } from "node:crypto";
import type { Message } from "@simulacra-ai/core";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileLayer } from "../../../src/stores/file/fs/file-layer.js";
import { has_code } from "../../../src/errors.js";
import type { SessionDraft, StoredSession } from "../../../src/types.js";
import { type MemoryDisk, ROOT_INODE } from "./memory-disk.js";

export const ROOT = "/sessions";

/** No session, and one that cannot be read. */
export const GONE = "gone";
export const CORRUPT = "corrupt";

/** What a reader is given of one session. */
export interface Found {
  /** The session without its draft, in one text; what else goes wrong is its error. */
  content: string;
  draft: string | undefined;
}

/** A session as a new reader finds it. */
export async function find_session(layer: FileLayer, id: string): Promise<Found> {
  try {
    const loaded = await new FileSessionStore(ROOT, {}, layer).load(id);
    if (loaded === undefined) {
      return { content: GONE, draft: undefined };
    }
    const { draft, ...session } = loaded;
    return { content: JSON.stringify(session), draft: draft && JSON.stringify(draft) };
  } catch (error) {
    return { content: has_code(error, CORRUPT) ? CORRUPT : String(error), draft: undefined };
  }
}

export async function content_of(layer: FileLayer, id: string): Promise<string> {
  return (await find_session(layer, id)).content;
}

/** Every session that can be found. */
export async function find_sessions(layer: FileLayer & { disk: MemoryDisk }): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  for (const id of ids_on(layer.disk)) {
    found.set(id, await find_session(layer, id));
  }
  return found;
}

/** What a reader is to be given of a draft beside this session: where that holds its prompt, or is none, nothing. */
export function draft_beside(content: string, draft: string | undefined): string | undefined {
  const session = draft === undefined ? undefined : session_in(content);
  if (draft === undefined || session === undefined) {
    return undefined;
  }
  const { prompt } = JSON.parse(draft) as SessionDraft;
  return session.messages.some(({ id }) => id !== undefined && id === prompt.id) ? undefined : draft;
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

/** Whether a session has a draft, void or not. Half of one, which a crash left of a first draft, is none. */
export function has_whole_draft(disk: MemoryDisk, id: string): boolean {
  const inode = entries_of(disk).get(`${id}.draft`);
  const node = inode === undefined ? undefined : disk.node(inode);
  try {
    return node?.kind === "file" && JSON.parse(node.data.toString()) !== null;
  } catch (error) {
    return !(error instanceof SyntaxError);
  }
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

/** Enough of a session and its draft to compare them and to recognise them. */
export function digest({ content, draft }: Found): string {
  return draft === undefined ? shortened(content) : `${shortened(content)} with the draft ${shortened(draft)}`;
}

function shortened(content: string): string {
  return content.length < 800
    ? content
    : `${content.slice(0, 200)} … ${createHash("sha1").update(content).digest("base64")}`;
}
