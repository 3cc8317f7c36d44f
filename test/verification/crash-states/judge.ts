import { isDeepStrictEqual } from "node:util";
import { FileSessionStore, type FileSessionStoreOptions } from "../../../src/stores/file/file-session-store.js";
import type { SessionMetadata } from "../../../src/types.js";
import { user } from "../../support/messages.js";
import {
  content_of,
  CORRUPT,
  digest,
  entries_of,
  find_session,
  find_sessions,
  type Found,
  GONE,
  has_whole_draft,
  ids_on,
  links_on,
  messages_in,
  ROOT,
  session_in,
} from "./contents.js";
import type { MemoryDisk } from "./memory-disk.js";
import type { OtherReader } from "./other-reader.js";
import { RecordingLayer } from "./recording-layer.js";

/** What is found after a crash. */
export interface Verdict {
  /** Every session, as `digest` gives it. */
  found: Map<string, string>;
  /** What is wrong, whatever the session was before. */
  problem: string | undefined;
  /** Which of the texts that are to be kept are in no session any more after the next write. */
  lacks: readonly string[];
}

export type Judge = (disk: MemoryDisk) => Promise<Verdict>;

function digested(found: ReadonlyMap<string, Found>): Map<string, string> {
  return new Map([...found].map(([id, one]) => [id, digest(one)]));
}

function without_drafts(found: ReadonlyMap<string, Found>): Map<string, string> {
  return new Map([...found].map(([id, { content }]) => [id, content]));
}

/** What a reader finds, and no more. */
export const look: Judge = async (disk) => ({
  found: digested(await find_sessions(new RecordingLayer(disk))),
  problem: undefined,
  lacks: [],
});

export interface Thoroughness {
  options: FileSessionStoreOptions;
  /** Texts that, once acknowledged, have to be in some session after the next write. */
  keeps?: readonly string[];
  other_reader?: OtherReader | undefined;
}

/**
 * What a reader finds, whether all readers agree, and whether the next writer goes on from there and leaves nothing
 * lying about.
 */
export function thorough({ options, keeps = [], other_reader }: Thoroughness): Judge {
  return async (disk) => {
    const layer = new RecordingLayer(disk);
    const found = await find_sessions(layer);
    const contents = without_drafts(found);
    const asked = other_reader?.problem_of(disk, found); // before the next writer changes it
    const problem =
      problem_of_content(contents) ??
      problem_of_plain_reader(disk, contents) ??
      (await problem_of_list(layer, contents)) ??
      (await problem_of_next_writer(layer, found, options)) ??
      (await asked);
    const after = keeps.length > 0 ? [...without_drafts(await find_sessions(layer)).values()].join("\n") : "";
    const lacks = keeps.filter((text) => !after.includes(JSON.stringify(text)));
    return { found: digested(found), problem, lacks };
  };
}

function problem_of_content(contents: Map<string, string>): string | undefined {
  const [strange] = [...contents].filter(([, found]) => !found.startsWith("{") && found !== CORRUPT && found !== GONE);
  return strange && `${strange[0]}: ${strange[1]}`;
}

/** For a reader that knows nothing of journals: a whole session, of which at most the last messages are missing. */
function problem_of_plain_reader(disk: MemoryDisk, contents: Map<string, string>): string | undefined {
  for (const [id, content] of contents) {
    const inode = entries_of(disk).get(`${id}.json`);
    const node = inode === undefined ? undefined : disk.node(inode);
    if (node?.kind !== "file" || content === CORRUPT || entries_of(disk).has(`${id}.meta.json`)) {
      continue;
    }
    try {
      const value = JSON.parse(node.data.toString()) as { metadata: object; messages: unknown[] };
      const own = JSON.stringify(value.messages).slice(0, -1);
      if (typeof value.metadata !== "object" || !content.includes(`"messages":${own}`)) {
        return `${id}.json holds ${own.slice(0, 200)}`;
      }
    } catch (error) {
      return `${id}.json is no JSON: ${String(error)}`;
    }
  }
  return undefined;
}

/** `list` says of each session what `load` says. */
async function problem_of_list(layer: RecordingLayer, contents: Map<string, string>): Promise<string | undefined> {
  const entries = await new FileSessionStore(ROOT, {}, layer).list();
  const listed = new Map(entries.map((entry) => [entry.id, entry]));
  for (const [id, content] of contents) {
    const entry: SessionMetadata | undefined = listed.get(id);
    const is_right =
      content === GONE ||
      (content === CORRUPT ? entry !== undefined : isDeepStrictEqual(entry, session_in(content)?.metadata));
    if (!is_right) {
      return `list says ${JSON.stringify(entry)} of ${content.slice(0, 300)}`;
    }
  }
  return undefined;
}

const OWN_ENDINGS =
  /\.(json|meta\.json|ndjson|draft|(json|ndjson|meta\.json|journal)\.(corrupt|conflict)-\d{8}T\d{9}Z(-\d+)?)$|-forks$/;

const LEFT = /^(.+?)\.(journal|lock|ndjson|ndjson\.next|[0-9a-f]{12}(?:\.draft)?\.tmp|draft|draft-lock)$/;

/** Sessions of which a writer may have left more, or less, than their own files; where there are none, any one. */
export function unfinished(disk: MemoryDisk, contents: ReadonlyMap<string, string>): string[] {
  const names = [...entries_of(disk).keys()];
  const left = names
    .filter((name) => !OWN_ENDINGS.test(name) || !contents.has(/^(.+)\.(ndjson|draft)$/.exec(name)?.[1] ?? ""))
    .flatMap((name) => LEFT.exec(name)?.[1] ?? []);
  const forks = [...contents].filter(([, content]) => content.includes('"parent_id":')).map(([id]) => id);
  const all = new Set([...left, ...forks]);
  const in_order = [...all].sort((a, b) => Number(contents.has(b)) - Number(contents.has(a)));
  return all.size > 0 ? in_order : [ids_on(disk)[0] ?? "s"];
}

async function problem_of_next_writer(
  layer: RecordingLayer,
  found: ReadonlyMap<string, Found>,
  options: FileSessionStoreOptions,
): Promise<string | undefined> {
  const store = new FileSessionStore(ROOT, options, layer);
  const later = user("later", "later");
  const contents = without_drafts(found);
  const drafted = [...entries_of(layer.disk).keys()].flatMap((name) => /^(.+?)\.draft[^/]*$/.exec(name)?.[1] ?? []);
  try {
    for (const id of new Set([...unfinished(layer.disk, contents), ...drafted])) {
      // What was about to be made of another session may have been made by now, with that one.
      const session = session_in(contents.get(id) ?? (await content_of(layer, id)));
      if (session?.revision === undefined) {
        await store.save(id, [later]);
      } else {
        await store.append(id, [later], { revision: session.revision });
      }
      await store.flush(id);
      const after = messages_in(await content_of(layer, id));
      if (JSON.stringify(after) !== JSON.stringify([...(session?.messages ?? []), later])) {
        return `what is written after it is lost: ${JSON.stringify(after).slice(0, 300)}`;
      }
      const problem = drafted.includes(id) && (await problem_of_next_draft(layer, store, id, found.get(id)?.draft));
      if (problem) {
        return problem;
      }
    }
    const names = [...entries_of(layer.disk).keys()].filter((name) => !OWN_ENDINGS.test(name));
    return names.length > 0 ? `the next writer leaves ${names.join()}` : problem_of_links(layer.disk, contents);
  } catch (error) {
    return `the next writer fails: ${String(error)}`;
  }
}

/** The draft is still there, the next one takes its place, and goes with its turn. */
async function problem_of_next_draft(
  layer: RecordingLayer,
  store: FileSessionStore,
  id: string,
  draft: string | undefined,
): Promise<string | undefined> {
  const { content, draft: kept } = await find_session(layer, id);
  if (kept !== draft) {
    return `the next writer makes ${String(kept)} of the draft ${String(draft)}`;
  }
  if (kept === undefined && has_whole_draft(layer.disk, id)) {
    return "the next writer leaves a void draft";
  }
  const prompt = user("drafted later", "drafted later");
  const next = { prompt, updated_at: "2030-01-01T00:00:00.000Z" };
  await store.set_draft(id, next);
  const { draft: found } = await find_session(layer, id);
  if (found !== JSON.stringify(next)) {
    return `the next draft is ${String(found)}`;
  }
  await store.append(id, [prompt], { revision: session_in(content)?.revision ?? "" });
  await store.flush(id);
  return entries_of(layer.disk).has(`${id}.draft`) ? "a draft outlives its turn" : undefined;
}

/**
 * Every fork is in its parent's folder. One that was about to get another parent may still be in the folder of the
 * former one too: where the lock did not reach the device either, nobody is told to look for it there.
 */
function problem_of_links(disk: MemoryDisk, contents: Map<string, string>): string | undefined {
  const links = new Set(links_on(disk).split(","));
  const outdated = [...contents].find(([id, content]) => {
    const parent_id = session_in(content)?.metadata.parent_id;
    return parent_id !== undefined && !["json", "ndjson"].some((end) => links.has(`${parent_id}-forks/${id}.${end}`));
  });
  return outdated && `the link to ${outdated[0]} is missing or outdated, there are ${[...links].join()}`;
}
