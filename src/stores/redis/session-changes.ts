import { sleep } from "../../async/timers.js";
import { has_code, SessionError } from "../../errors.js";
import { new_token } from "../../token.js";
import type { Decide, Decision, SessionChange } from "../session-decisions.js";
import { is_wrong_type } from "./redis-client.js";
import { place_of } from "./redis-keys.js";
import type { SessionIndex } from "./session-index.js";
import { sweep } from "./session-listing.js";
import { read_state, type Ground, type RawState, type SessionRecords, type WrittenChange } from "./session-records.js";

/** How often other writers may come between what was read and what is to be written. */
const ATTEMPTS = 100;
const LONGEST_MS = 50;
/** What is due to be looked at for its expiry, and is alive, is looked at again after at least so long. */
const AGAIN_MS = 60_000;
/** How many sessions are remembered, and the longest metadata that are. */
const REMEMBERED = 500;
const LONGEST_METADATA = 16_384;

/**
 * Changes of sessions. What was written last is remembered, and the next change decided on it without reading; the
 * server writes nothing where it is no longer so, and then it is read. One server writes a session and its entry in the
 * index in one step; where their keys are in different slots of a cluster it takes several.
 */
export class SessionChanges {
  readonly #index: SessionIndex;
  readonly #records: SessionRecords;
  readonly #ttl_ms: number;
  readonly #remembered = new Map<string, RawState>();

  constructor(index: SessionIndex, records: SessionRecords, ttl_ms: number) {
    this.#index = index;
    this.#records = records;
    this.#ttl_ms = ttl_ms;
  }

  /** Decides, and writes if the state is still the same; else it is all done again. One at a time of a session. */
  async change<T>(id: string, decide: Decide<T>): Promise<T> {
    const remembered = this.forget(id);
    const early = remembered && decided_on(id, remembered, decide);
    if (early?.write && (await this.#write(id, { state: remembered, is_remembered: true }, early.write))) {
      return early.result;
    }
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const state = await this.#records.state(id);
      const { result, write } = decide(state && read_state(id, state));
      if (!write || (await this.#write(id, { state, is_remembered: false }, write))) {
        return result;
      }
      await sleep(Math.random() * Math.min(LONGEST_MS, 2 ** attempt));
    }
    const message = `session ${id} is changed by others faster than it can be written`;
    throw new SessionError("storage", message, { session_id: id });
  }

  async delete(id: string): Promise<boolean> {
    this.forget(id);
    const { found, entry } = await this.#records.delete(id);
    if (entry !== undefined) {
      await afterwards(() => this.#index.remove([entry]));
    }
    return found;
  }

  /** Returns what was remembered. */
  forget(id: string): RawState | undefined {
    const state = this.#remembered.get(id);
    this.#remembered.delete(id);
    return state;
  }

  /** False, and nothing is written, where the ground has moved. */
  async #write(id: string, ground: Ground, decided: SessionChange): Promise<boolean> {
    const change = { ...decided, meta: JSON.stringify(decided.metadata) };
    const outcome = await this.#write_at_once(id, ground, change);
    const entry = outcome === "refused" ? await this.#write_in_steps(id, ground, change) : outcome;
    if (entry !== undefined) {
      this.#remember(id, ground, change, entry);
    }
    return entry !== undefined;
  }

  /** The new entry; `undefined` where the ground has moved; `refused`: in steps it works, or says what is wrong. */
  async #write_at_once(id: string, ground: Ground, change: WrittenChange): Promise<string | undefined> {
    try {
      const place = place_of(change.metadata);
      const written = await this.#records.write_and_enter(id, ground, change, place, new_token());
      if (written === "apart") {
        return "refused";
      }
      if (written) {
        await this.#sweep(written.expired);
      }
      return written?.entry;
    } catch (error) {
      if (!is_wrong_type(error)) {
        throw error;
      }
      return "refused";
    }
  }

  /** The new entry; `undefined` where the ground has moved. */
  async #write_in_steps(id: string, ground: Ground, change: WrittenChange): Promise<string | undefined> {
    const { entry, expired } = await this.#index.begin(change.metadata, this.#ttl_ms);
    if (!(await this.#records.write(id, ground, change, entry))) {
      await afterwards(() => this.#index.remove([entry]));
      return undefined;
    }
    const past = ground.state?.entry;
    await afterwards(() => this.#index.finish(entry, past === undefined ? [] : [past]));
    await this.#sweep(expired);
    return entry;
  }

  async #sweep(expired: readonly string[]): Promise<void> {
    if (expired.length > 0) {
      await afterwards(() => sweep(this.#index, this.#records, expired, Math.max(this.#ttl_ms, AGAIN_MS)));
    }
  }

  #remember(id: string, { state }: Ground, { meta, revision, messages }: WrittenChange, entry: string): void {
    if (meta.length > LONGEST_METADATA) {
      return;
    }
    const n = messages ? String(messages.kept + messages.texts.length) : state?.n;
    this.#remembered.set(id, { meta, rev: revision, n, entry });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > REMEMBERED && oldest !== undefined) {
      this.#remembered.delete(oldest);
    }
  }
}

/** What is decided on a remembered state; `undefined`: that it does not suit may be because it is past. */
function decided_on<T>(id: string, state: RawState, decide: Decide<T>): Decision<T> | undefined {
  try {
    return decide(read_state(id, state));
  } catch (error) {
    if (has_code(error, "conflict")) {
      return undefined;
    }
    throw error;
  }
}

/** What makes the index tidy after a change: the change is made, and every list drops what is left behind. */
async function afterwards(task: () => Promise<void>): Promise<void> {
  await task().catch((error: unknown) => error);
}
