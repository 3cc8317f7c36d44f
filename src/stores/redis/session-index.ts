import { SessionError } from "../../errors.js";
import { new_token } from "../../token.js";
import type { SessionMetadata } from "../../types.js";
import { ADD, BEGIN, DROP, FINISH, LATER, PAGE, REMOVE } from "./index-scripts.js";
import { is_wrong_type, run_script, type RedisSessionClient, type Script } from "./redis-client.js";
import { index_key, place_of, type IndexPlace } from "./redis-keys.js";

/** What stands on a shelf of the index. */
export interface IndexMember {
  /** As it stands there. */
  member: string;
  entry: string;
}

const NONE: IndexPlace = { position: "", kind: "", parent: "" };

/** The parts of an entry. */
export function place_of_entry(entry: string): IndexPlace {
  const [position = "", , , kind = "", parent = ""] = entry.split(" ");
  return position.includes("~") ? { position, kind, parent } : NONE;
}

/** Whether an entry was made with this random part. */
export function is_marked(entry: string, random: string): boolean {
  const [, made = ""] = entry.split(" ");
  return made.slice(made.indexOf("-") + 1) === random;
}

/**
 * In which order the sessions are listed, in a slot of its own. Never the authority: an entry counts only where its
 * session names it. Each state of a session has an entry of its own, which is made before the state is written and stays
 * until after the next one is: so whatever dies in between, the entry of each session's state is there, and what is too
 * much is found and dropped by whoever reads it.
 */
export class SessionIndex {
  readonly #client: RedisSessionClient;
  readonly #key: string;

  constructor(client: RedisSessionClient, prefix: string) {
    this.#client = client;
    this.#key = index_key(prefix);
  }

  /** The entry of a state that is about to be written, and members of sessions that may have expired. */
  async begin(metadata: SessionMetadata, ttl_ms: number): Promise<{ entry: string; expired: string[] }> {
    const { position, kind, parent } = place_of(metadata);
    const reply = await this.#run(BEGIN, [position, new_token(), ttl_ms, kind, parent]);
    const [entry, ...expired] = reply;
    if (entry === undefined) {
      throw new SessionError("storage", "the server's reply is none of the scripts'");
    }
    return { entry, expired: expired.filter((member) => member !== undefined) };
  }

  /** The state of an entry is written; those of the others are past. */
  async finish(entry: string, past: readonly string[]): Promise<void> {
    await this.#run(FINISH, [entry, ...past]);
  }

  async add(entries: readonly string[]): Promise<void> {
    await this.#run(ADD, entries);
  }

  async remove(entries: readonly string[]): Promise<void> {
    await this.#run(REMOVE, entries);
  }

  /** Removes what belongs to no session, unless somebody may be about to write it. */
  async drop(members: readonly string[]): Promise<void> {
    await this.#run(DROP, members);
  }

  /** Looks again later whether these have expired. */
  async ask_later(members: readonly string[], ms: number): Promise<void> {
    await this.#run(LATER, [ms, ...members]);
  }

  /** The first so many of several shelves together, behind a place in the order; -1: all of them. */
  async page(shelves: readonly string[], after: string, count: number): Promise<IndexMember[]> {
    const reply = await this.#run(PAGE, [count, after, ...shelves]);
    const members = reply.map((member = ""): IndexMember => ({
      member,
      entry: member.slice(member.indexOf(" ") + 1),
    }));
    if (shelves.length > 1) {
      members.sort((a, b) => (a.entry < b.entry ? -1 : 1));
    }
    return count < 0 ? members : members.slice(0, count);
  }

  async #run(script: Script, given: readonly (string | number)[]) {
    try {
      return await run_script(this.#client, script, [this.#key], given);
    } catch (error) {
      if (is_wrong_type(error)) {
        const message = `the index at ${this.#key} is something else; delete it, and call rebuild_index()`;
        throw new SessionError("storage", message, { cause: error });
      }
      throw error;
    }
  }
}
