import type { Message } from "@simulacra-ai/core";
import { holds_prompt } from "../../draft.js";
import { SessionError } from "../../errors.js";
import { complete_metadata, type MetadataPatch } from "../../metadata.js";
import type { SessionDraft, SessionMetadata, StoredSession } from "../../types.js";
import { is_wrong_type, run_script, type RedisSessionClient, type Script } from "./redis-client.js";
import { from_position, session_key } from "./redis-keys.js";
import { place_of_entry } from "./session-index.js";
import { DELETE, READ_ALL, READ_STATE, SET_DRAFT, WRITE } from "./session-scripts.js";

const PART_LENGTH = 65_536;

/** What a change decides on: the session without its messages. */
export interface SessionState {
  metadata: SessionMetadata;
  revision: string;
  message_count: number;
  /** Its entry in the index: no two states have the same. */
  entry: string;
}

/** The state as it is stored, where it may be damaged. */
export interface RawState {
  meta: string | undefined;
  rev: string | undefined;
  n: string | undefined;
  entry: string | undefined;
}

export interface SessionWrite {
  /** The entry of the state that this was decided on. */
  on: string | undefined;
  entry: string;
  metadata: SessionMetadata;
  revision: string;
  /** Where the messages change: how many stay, and which come behind them. */
  messages: { kept: number; texts: readonly string[]; ids: readonly string[] } | undefined;
}

function damaged(session_id: string, reason: string, cause?: unknown): SessionError {
  return new SessionError("corrupt", `session ${session_id} is damaged: ${reason}`, {
    session_id,
    ...(cause !== undefined && { cause }),
  });
}

function parse_object(session_id: string, what: string, text: string | undefined): object {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch (error) {
    throw damaged(session_id, `${what} is ${text === undefined ? "missing" : "no JSON"}`, error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw damaged(session_id, `${what} is no object`);
  }
  return value;
}

function parse_count(session_id: string, text: string | undefined): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) {
    throw damaged(session_id, "the number of its messages is missing");
  }
  return Number(text);
}

/** What a date is taken from where the metadata have none. */
function date_of(entry: string | undefined): string {
  const { position } = place_of_entry(entry ?? "");
  return position === "" ? new Date(0).toISOString() : from_position(position).updated_at;
}

/** @throws {SessionError} `corrupt`. */
export function read_state(id: string, { meta, rev, n, entry }: RawState): SessionState {
  const message_count = parse_count(id, n);
  const patch: MetadataPatch = parse_object(id, "its metadata", meta);
  if (rev === undefined || entry === undefined) {
    throw damaged(id, `its ${rev === undefined ? "revision" : "entry in the index"} is missing`);
  }
  const metadata = complete_metadata(patch, { id, message_count, date: () => date_of(entry) });
  return { metadata, revision: rev, message_count, entry };
}

/** The list entry of a session, with `damaged` where it cannot be read. `known_as`: the index's word for it. */
export function read_entry(id: string, raw: RawState, known_as: string): SessionMetadata {
  try {
    return read_state(id, raw).metadata;
  } catch (error) {
    return damaged_entry(id, error, raw.entry ?? known_as);
  }
}

export function damaged_entry(id: string, error: unknown, known_as: string): SessionMetadata {
  const metadata = complete_metadata({}, { id, message_count: 0, date: () => date_of(known_as) });
  return { ...metadata, damaged: error instanceof Error ? error.message : String(error) };
}

/** Sessions as they are stored, each one a hash. */
export class SessionRecords {
  readonly #client: RedisSessionClient;
  readonly #prefix: string;
  readonly #ttl_ms: number;

  constructor(client: RedisSessionClient, prefix: string, ttl_ms: number) {
    this.#client = client;
    this.#prefix = prefix;
    this.#ttl_ms = ttl_ms;
  }

  /** @throws {SessionError} `corrupt` where the key holds something else. */
  async state(id: string): Promise<RawState | undefined> {
    return raw_state(await this.#run(READ_STATE, id));
  }

  /** The whole session, at one moment. @throws {SessionError} `corrupt`. */
  async load(id: string): Promise<StoredSession | undefined> {
    const reply = await this.#run(READ_ALL, id);
    if (reply.length === 0) {
      return undefined;
    }
    const fields = new Map<string | undefined, string | undefined>();
    for (let at = 0; at < reply.length; at += 2) {
      fields.set(reply[at], reply[at + 1]);
    }
    const [meta, rev, n, entry] = ["meta", "rev", "n", "entry"].map((name) => fields.get(name));
    const { metadata, revision, message_count } = read_state(id, { meta, rev, n, entry });
    const messages: Message[] = [];
    for (let at = 0; at < message_count; at += 1) {
      messages.push(parse_object(id, `message ${at}`, fields.get(String(at))) as Message);
    }
    const draft = fields.has("draft") ? read_draft(id, fields.get("draft"), messages) : undefined;
    return { metadata, messages, revision, ...(draft && { draft }) };
  }

  /** Writes, unless the state is no longer the one that this was decided on: then nothing. Returns whether it did. */
  async write(id: string, { on, entry, metadata, revision, messages }: SessionWrite): Promise<boolean> {
    const { kept, texts, ids } = messages ?? { kept: -1, texts: [], ids: [] };
    const head = [on ?? "", entry, JSON.stringify(metadata), revision, kept, this.#ttl_ms];
    const [outcome] = await this.#run(WRITE, id, [...head, `\n${ids.join("\n")}\n`, ...in_parts(texts)]);
    return outcome === "done";
  }

  /** Returns whether there is such a session. */
  async set_draft(id: string, text: string | undefined): Promise<boolean> {
    const given: (string | number)[] = [this.#ttl_ms];
    if (text !== undefined) {
      const prompt_id = prompt_mark((JSON.parse(text) as SessionDraft).prompt);
      given.push(text, ...(prompt_id === undefined ? [] : [prompt_id]));
    }
    const [outcome] = await this.#run(SET_DRAFT, id, given);
    return outcome === "done";
  }

  /** Whether there was such a session, and the entry that it had. */
  async delete(id: string): Promise<{ found: boolean; entry: string | undefined }> {
    const [found, entry = ""] = await this.#run(DELETE, id);
    return { found: found === "1", entry: entry === "" ? undefined : entry };
  }

  async #run(script: Script, id: string, given: readonly (string | number)[] = []) {
    try {
      return await run_script(this.#client, script, session_key(this.#prefix, id), given);
    } catch (error) {
      throw is_wrong_type(error) ? damaged(id, "its key holds something else", error) : error;
    }
  }
}

/** Messages as lines: clients take no more than some ten thousand arguments. */
function in_parts(texts: readonly string[]): string[] {
  const parts: string[] = [];
  let [part, length] = [[] as string[], 0];
  for (const text of texts) {
    part.push(text);
    length += text.length;
    if (length >= PART_LENGTH) {
      parts.push(part.join("\n"));
      [part, length] = [[], 0];
    }
  }
  return part.length > 0 ? [...parts, part.join("\n")] : parts;
}

function raw_state(reply: readonly (string | undefined)[]): RawState | undefined {
  const [meta, rev, n, entry] = reply;
  return reply.length === 0 ? undefined : { meta, rev, n, entry };
}

function read_draft(id: string, text: string | undefined, messages: readonly Message[]): SessionDraft | undefined {
  const draft = parse_object(id, "its draft", text) as SessionDraft;
  parse_object(id, "its draft's prompt", JSON.stringify(draft.prompt));
  return holds_prompt(messages, draft) ? undefined : draft;
}

/** The id of a message as the scripts compare it: JSON, so that no line break is in it. */
export function prompt_mark({ id }: { id?: unknown }): string | undefined {
  return id === undefined || id === null ? undefined : JSON.stringify(id);
}
