import type { Message } from "@simulacra-ai/core";
import { timers } from "../../async/timers.js";
import { holds_prompt, prompt_mark } from "../../draft.js";
import { reason_of, SessionError } from "../../errors.js";
import { complete_metadata, type MetadataPatch } from "../../metadata.js";
import type { SessionDraft, SessionMetadata, StoredSession } from "../../types.js";
import type { SessionChange, StoredHead } from "../session-decisions.js";
import { damaged, parse_messages, parse_object } from "../session-rows.js";
import {
  is_cluster,
  is_cross_slot,
  is_wrong_type,
  read_hash,
  run_script,
  type RedisSessionClient,
  type Script,
} from "./redis-client.js";
import { from_position, index_key, lineage_of, session_key, type IndexPlace } from "./redis-keys.js";
import { is_marked, place_of_entry } from "./session-index.js";
import { DELETE, READ_ALL, READ_STATE, READ_STATES, SET_DRAFT, WRITE, WRITE_AND_ENTER } from "./session-scripts.js";

const FEW_ARGUMENTS = 1000;
const PART_LENGTH = 65_536;
const LOOK_AGAIN_MS = 1000;
const STATE_FIELDS = ["meta", "rev", "n", "entry"];

/** The state as it is stored, where it may be damaged. */
export interface RawState {
  meta: string | undefined;
  rev: string | undefined;
  n: string | undefined;
  entry: string | undefined;
}

/** What becomes of a session, with the text of its metadata. */
export interface WrittenChange extends SessionChange {
  meta: string;
}

/** What a change was decided on. */
export interface Ground {
  /** `undefined`: there was no session. */
  state: RawState | undefined;
  /** It was not read: it is what was written last. */
  is_remembered: boolean;
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
export function read_state(id: string, { meta, rev, n, entry }: RawState): StoredHead {
  const message_count = parse_count(id, n);
  const patch: MetadataPatch = parse_object(id, "its metadata", meta);
  if (rev === undefined || !entry) {
    throw damaged(id, `its ${rev === undefined ? "revision" : "entry in the index"} is missing`);
  }
  const metadata = complete_metadata(patch, { id, message_count, date: () => date_of(entry) });
  return { metadata, revision: rev, message_count };
}

/** The list entry of a session, with `damaged` where it cannot be read. `known_as`: the index's word for it. */
export function read_entry(id: string, raw: RawState, known_as: string): SessionMetadata {
  try {
    return read_state(id, raw).metadata;
  } catch (error) {
    return damaged_entry(id, error, raw.entry || known_as);
  }
}

export function damaged_entry(id: string, error: unknown, known_as: string): SessionMetadata {
  const lineage = lineage_of(place_of_entry(known_as));
  const metadata = complete_metadata(lineage, { id, message_count: 0, date: () => date_of(known_as) });
  return { ...metadata, damaged: reason_of(error) };
}

/** Sessions as they are stored, each one a hash. */
export class SessionRecords {
  readonly #client: RedisSessionClient;
  readonly #prefix: string;
  readonly #ttl_ms: number;
  /** When to look again for what has expired: a store that lets nothing expire itself does so now and then. */
  #look_again = 0;
  /** As far as we know. */
  #is_one_server: boolean;

  constructor(client: RedisSessionClient, prefix: string, ttl_ms: number) {
    this.#is_one_server = !is_cluster(client);
    this.#client = client;
    this.#prefix = prefix;
    this.#ttl_ms = ttl_ms;
  }

  /** @throws {SessionError} `corrupt` where the key holds something else. */
  async state(id: string): Promise<RawState | undefined> {
    const found = await this.#run(READ_STATE, id);
    return found.length === 0 ? undefined : raw_state(found);
  }

  /** Of many sessions, in one step where one server has them all: their states, or what is wrong with them. */
  async states(ids: readonly string[]): Promise<(RawState | SessionError | undefined)[]> {
    const keys = ids.map((id) => this.#key(id));
    const found = ids.length > 1 ? await this.#together(READ_STATES, keys) : undefined;
    return Promise.all(
      ids.map((id, at) => {
        const fields = found?.slice(4 * at, 4 * at + 4) ?? [];
        const is_there = fields.some((text) => text !== undefined);
        return is_there ? Promise.resolve(raw_state(fields)) : this.state(id).catch(damaged_or_thrown);
      }),
    );
  }

  /** The whole session, at one moment. @throws {SessionError} `corrupt`. */
  async load(id: string): Promise<StoredSession | undefined> {
    const fields =
      (await this.#checked(id, read_hash(this.#client, this.#key(id)))) ?? map_of(await this.#run(READ_ALL, id));
    if (fields.size === 0) {
      return undefined;
    }
    const [meta, rev, n, entry] = STATE_FIELDS.map((name) => fields.get(name));
    const { metadata, revision, message_count } = read_state(id, { meta, rev, n, entry });
    if (message_count > fields.size) {
      throw damaged(id, `it has ${message_count} messages, and fewer are there`);
    }
    const texts = Array.from({ length: message_count }, (_, at) => fields.get(String(at)));
    const messages = parse_messages(id, texts);
    const draft = fields.has("draft") ? read_draft(id, fields.get("draft"), messages) : undefined;
    return { metadata, messages, revision, ...(draft && { draft }) };
  }

  /** Writes a state whose entry is in the index. False, and nothing is written, where the ground has moved. */
  async write(id: string, ground: Ground, change: WrittenChange, entry: string): Promise<boolean> {
    const [outcome, found] = await this.#run(WRITE, id, this.#arguments(ground, change, [entry]));
    // a client that sends a command anew over another connection finds its own change
    return outcome === "done" || found === entry;
  }

  /**
   * Writes a state, and its entry in the index in place of the one before: in one step, of one server. `random` marks the
   * new entry. Nothing is written where the ground has moved: then `undefined`; nor where no server has both keys:
   * `"apart"`.
   */
  async write_and_enter(
    id: string,
    ground: Ground,
    change: WrittenChange,
    { position, kind, parent }: IndexPlace,
    random: string,
  ): Promise<{ entry: string; expired: string[] } | "apart" | undefined> {
    const keys = [this.#key(id), index_key(this.#prefix)];
    const looks = this.#ttl_ms > 0 || timers.now() >= this.#look_again;
    const own = [position, random, kind, parent, looks ? "1" : ""];
    const reply = await this.#together(WRITE_AND_ENTER, keys, () => this.#arguments(ground, change, own));
    if (!reply) {
      return "apart";
    }
    const [outcome, entry, ...expired] = reply;
    if (entry === undefined || (outcome !== "done" && !is_marked(entry, random))) {
      return undefined;
    }
    if (looks && expired.length === 0) {
      this.#look_again = timers.now() + LOOK_AGAIN_MS;
    }
    return { entry, expired: expired.filter((member) => member !== undefined) };
  }

  #arguments(
    { state, is_remembered }: Ground,
    { meta, revision, messages }: WrittenChange,
    own: readonly string[],
  ): (string | number)[] {
    const known = is_remembered ? state : undefined;
    const ids = messages ? [...messages.ids].join("\n") : "";
    return [
      state?.entry ?? "",
      known?.meta ?? "",
      known?.rev ?? "",
      known?.n ?? "",
      meta,
      revision,
      messages?.kept ?? -1,
      this.#ttl_ms,
      `\n${ids}\n`,
      ...own,
      ...in_parts(messages?.texts ?? []),
    ];
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

  #key(id: string): string {
    return session_key(this.#prefix, id);
  }

  #run(script: Script, id: string, given: readonly (string | number)[] = []) {
    return this.#checked(id, run_script(this.#client, script, [this.#key(id)], given));
  }

  /** A script over the keys of several sessions, or of the index, too; `undefined` where no server has them all. */
  async #together(script: Script, keys: readonly string[], given: () => (string | number)[] = () => []) {
    if (!this.#is_one_server) {
      return undefined;
    }
    try {
      return await run_script(this.#client, script, keys, given());
    } catch (error) {
      if (!is_cross_slot(error)) {
        throw error;
      }
      this.#is_one_server = false;
      return undefined;
    }
  }

  async #checked<T>(id: string, reply: Promise<T>): Promise<T> {
    try {
      return await reply;
    } catch (error) {
      throw is_wrong_type(error) ? damaged(id, "its key holds something else", error) : error;
    }
  }
}

function damaged_or_thrown(error: unknown): SessionError {
  if (error instanceof SessionError && error.code === "corrupt") {
    return error;
  }
  throw error;
}

function map_of(reply: readonly (string | undefined)[]): Map<string | undefined, string | undefined> {
  const fields = new Map<string | undefined, string | undefined>();
  for (let at = 0; at < reply.length; at += 2) {
    fields.set(reply[at], reply[at + 1]);
  }
  return fields;
}

/** Messages as lines, an argument each where they are few: clients take no more than some ten thousand. */
function in_parts(texts: readonly string[]): readonly string[] {
  if (texts.length <= FEW_ARGUMENTS) {
    return texts;
  }
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

function raw_state([meta, rev, n, entry]: readonly (string | undefined)[]): RawState {
  return { meta, rev, n, entry };
}

function read_draft(id: string, text: string | undefined, messages: readonly Message[]): SessionDraft | undefined {
  const draft = parse_object(id, "its draft", text) as SessionDraft;
  parse_object(id, "its draft's prompt", JSON.stringify(draft.prompt));
  return holds_prompt(messages, draft) ? undefined : draft;
}
