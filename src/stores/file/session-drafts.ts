import { isUtf8 } from "node:buffer";
import { ignore, SessionError, session_not_found } from "../../errors.js";
import { holds_prompt } from "../../draft.js";
import type { SessionDraft } from "../../types.js";
import { KeyedQueues } from "../../async/queue.js";
import { is_object, parse_json } from "./format/corrupt.js";
import { remove_if_there, sync_directory, type FilePolicy } from "./fs/durable-files.js";
import { write_all, type FileLayer } from "./fs/file-layer.js";
import { find_form } from "./snapshots/forms.js";
import { PreparedFile } from "./fs/prepared-file.js";
import { with_open_files } from "./fs/open-files.js";
import { read_file } from "./fs/regular-file.js";
import { SessionLock } from "./lock/session-lock.js";
import { DRAFT_ENDING, temporary_files, type SessionPaths } from "./session-paths.js";
import type { TrueNames } from "./true-names.js";

/**
 * The drafts of sessions, each a file of its own that is replaced in one step. They have queues and locks of their own:
 * a draft never waits behind a save.
 */
export class SessionDrafts {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #names: TrueNames;
  readonly #queues = new KeyedQueues();

  constructor(layer: FileLayer, policy: FilePolicy, names: TrueNames) {
    this.#layer = layer;
    this.#policy = policy;
    this.#names = names;
  }

  /**
   * `undefined` where there is none. One that is damaged is none either: a session is not to be unreadable for it, and
   * `verify` names it.
   */
  async read(paths: SessionPaths): Promise<SessionDraft | undefined> {
    return read_draft(this.#layer, paths).catch(ignore("corrupt"));
  }

  /** Stores a draft, or removes it. @throws {SessionError} `not_found` where there is no such session. */
  async set(paths: SessionPaths, text: string | undefined): Promise<void> {
    const { root, draft } = paths;
    if (text === undefined && !(await this.#layer.stat(draft))) {
      return;
    }
    const require_session = async () => {
      if (text !== undefined && !(await find_form(this.#layer, paths))) {
        throw session_not_found(paths.id);
      }
      await this.#names.require_own(paths, undefined, false);
    };
    await require_session();
    await this.#locked(paths, async (lock) => {
      await require_session(); // whoever deletes it from now on waits for us
      if (text === undefined) {
        await remove_if_there(this.#layer, draft);
        await sync_directory(this.#layer, root, this.#policy);
        return;
      }
      const kind = (await this.#layer.stat(draft))?.kind;
      await (kind && kind !== "file" && remove_if_there(this.#layer, draft));
      const context = { layer: this.#layer, policy: this.#policy, paths: paths.draft_lock, token: lock.token };
      const file = await PreparedFile.write(context, draft, (file) => write_all(file, Buffer.from(text), 0));
      await file.put_in_place(lock, draft);
    });
  }

  /**
   * Removes the draft if one of these messages is its prompt. A draft that is not synced and comes back after a power cut is
   * void as long as the messages are there.
   */
  async drop_held(paths: SessionPaths, messages: readonly { id?: string }[], is_synced: boolean): Promise<void> {
    const is_held = async () => {
      const draft = await this.read(paths);
      return draft !== undefined && holds_prompt(messages, draft);
    };
    if (!(await this.#layer.stat(paths.draft)) || !(await with_open_files(this.#layer, is_held, "drafts"))) {
      return;
    }
    await this.#locked(paths, async () => {
      if (await is_held()) {
        await remove_if_there(this.#layer, paths.draft); // a newer draft stays
        await (is_synced && sync_directory(this.#layer, paths.root, this.#policy));
      }
    });
  }

  /**
   * Removes a session and then its draft. If the draft's lock cannot be had, nothing is removed. Nobody begins a draft of
   * a session that is gone.
   */
  async remove_with<T>(paths: SessionPaths, remove_session: () => Promise<T>): Promise<T> {
    if (await this.#is_begun(paths)) {
      return this.#locked(paths, async () => {
        const result = await remove_session();
        await this.#remove(paths);
        return result;
      });
    }
    const result = await remove_session();
    if (await this.#is_begun(paths)) {
      await this.#locked(paths, () => this.#remove(paths));
    }
    return result;
  }

  /** True if there is a draft, or one is being written. */
  async #is_begun({ draft, draft_lock }: SessionPaths): Promise<boolean> {
    const is_locked = (await this.#layer.stat(draft_lock.lock)) !== undefined; // first: whoever lets go has written
    return is_locked || (await this.#layer.stat(draft)) !== undefined;
  }

  async #remove(paths: SessionPaths): Promise<void> {
    const is_there_again = (await find_form(this.#layer, paths)) !== undefined; // our lock on it was broken
    if (!is_there_again && (await remove_if_there(this.#layer, paths.draft))) {
      await sync_directory(this.#layer, paths.root, this.#policy); // under the same id it would come back
    }
  }

  /** Removes the temporary files of killed processes. */
  async clean(paths: SessionPaths): Promise<void> {
    if (await this.#layer.stat(paths.draft_lock.lock)) {
      await this.#locked(paths, () => Promise.resolve());
    }
  }

  /** Whoever held the lock before may not have been the last to write: a power cut keeps names in any order. */
  async #sweep(paths: SessionPaths): Promise<void> {
    for (const token of await temporary_files(this.#layer, paths)) {
      await (token.endsWith(DRAFT_ENDING) && remove_if_there(this.#layer, paths.temporary(token)));
    }
  }

  /** Resolves when every draft asked for so far is written. */
  async settled(id?: string): Promise<void> {
    await this.#queues.settled(id);
  }

  async #locked<T>(paths: SessionPaths, task: (lock: SessionLock) => Promise<T>): Promise<T> {
    const run = async () => {
      const lock = await SessionLock.acquire(this.#layer, paths.draft_lock, this.#policy);
      try {
        if (lock.former) {
          await this.#sweep(paths);
        }
        return await task(lock);
      } finally {
        await lock.release();
      }
    };
    return this.#queues.run(paths.id, () => with_open_files(this.#layer, run, "drafts"));
  }
}

/** @throws {SessionError} `corrupt`. */
export async function read_draft(layer: FileLayer, paths: SessionPaths): Promise<SessionDraft | undefined> {
  const file = await read_file(layer, paths.draft);
  if (!file) {
    return undefined;
  }
  const value = parse_json(file.bytes, paths.draft);
  if (
    !isUtf8(file.bytes) ||
    !is_object(value) ||
    !is_object(value["prompt"]) ||
    typeof value["updated_at"] !== "string"
  ) {
    throw new SessionError("corrupt", `${paths.draft} is damaged: it is no draft`, { path: paths.draft });
  }
  return value as unknown as SessionDraft;
}
