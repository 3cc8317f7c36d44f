import { has_code, SessionError, session_not_found } from "../../errors.js";
import { holds_prompt } from "../../draft.js";
import type { SessionDraft } from "../../types.js";
import { WriteQueue } from "../../write-queue.js";
import { is_object, parse_json } from "./corrupt.js";
import { remove_if_there, sync_directory, type FilePolicy } from "./durable-files.js";
import { write_all, type FileLayer } from "./file-layer.js";
import { find_form } from "./forms.js";
import { PreparedFile } from "./prepared-file.js";
import { read_file } from "./regular-file.js";
import { SessionLock } from "./session-lock.js";
import type { SessionPaths } from "./session-paths.js";

/**
 * The drafts of sessions, each a file of its own that is replaced in one step. They have queues and locks of their own:
 * a draft never waits behind a save.
 */
export class SessionDrafts {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #queues = new Map<string, WriteQueue>();

  constructor(layer: FileLayer, policy: FilePolicy) {
    this.#layer = layer;
    this.#policy = policy;
  }

  /**
   * `undefined` where there is none. One that is damaged is none either: a session is not to be unreadable for it, and
   * `verify` names it.
   */
  async read(paths: SessionPaths): Promise<SessionDraft | undefined> {
    try {
      return await read_draft(this.#layer, paths);
    } catch (error) {
      if (has_code(error, "corrupt")) {
        return undefined;
      }
      throw error;
    }
  }

  /** Stores a draft, or removes it. @throws {SessionError} `not_found` where there is no such session. */
  async set(paths: SessionPaths, text: string | undefined): Promise<void> {
    const { root, draft } = paths;
    if (text === undefined && (await this.#layer.stat(draft)) === undefined) {
      return;
    }
    if ((await find_form(this.#layer, paths)) === undefined) {
      throw session_not_found(paths.id);
    }
    await this.#locked(paths, async (lock) => {
      if (text === undefined) {
        await remove_if_there(this.#layer, draft);
        await sync_directory(this.#layer, root, this.#policy);
        return;
      }
      const context = { layer: this.#layer, policy: this.#policy, paths: paths.draft_lock, token: lock.token };
      const file = await PreparedFile.write(context, draft, (file) => write_all(file, Buffer.from(text), 0));
      await file.put_in_place(lock, draft);
    });
  }

  /**
   * Removes the draft if one of these messages is its prompt. Not synced: one that comes back after a power cut is
   * void as well.
   */
  async drop_held(paths: SessionPaths, messages: readonly { id?: string }[]): Promise<void> {
    if ((await this.#layer.stat(paths.draft)) === undefined) {
      return;
    }
    await this.#locked(paths, async () => {
      const draft = await this.read(paths);
      if (draft !== undefined && holds_prompt(messages, draft)) {
        await remove_if_there(this.#layer, paths.draft);
      }
    });
  }

  /** What a killed process left of a change is removed. */
  async clean(paths: SessionPaths): Promise<void> {
    if ((await this.#layer.stat(paths.draft_lock.lock)) !== undefined) {
      await this.#locked(paths, () => Promise.resolve());
    }
  }

  /** Resolves when every draft asked for so far is written. */
  async settled(id?: string): Promise<void> {
    const queues = [...this.#queues].filter(([of]) => id === undefined || of === id);
    await Promise.all(queues.map(([, queue]) => queue.settled()));
  }

  async #locked<T>(paths: SessionPaths, task: (lock: SessionLock) => Promise<T>): Promise<T> {
    const { id } = paths;
    let queue = this.#queues.get(id);
    if (queue === undefined) {
      queue = new WriteQueue(undefined, () => this.#queues.delete(id));
      this.#queues.set(id, queue);
    }
    return queue.run(async () => {
      const lock = await SessionLock.acquire(this.#layer, paths.draft_lock);
      try {
        if (lock.former !== undefined) {
          await remove_if_there(this.#layer, paths.draft_lock.temporary(lock.former.token));
        }
        return await task(lock);
      } finally {
        await lock.release();
      }
    });
  }
}

/** @throws {SessionError} `corrupt`. */
export async function read_draft(layer: FileLayer, paths: SessionPaths): Promise<SessionDraft | undefined> {
  const file = await read_file(layer, paths.draft);
  if (file === undefined) {
    return undefined;
  }
  const value = parse_json(file.bytes, paths.draft);
  if (!is_object(value) || !is_object(value["prompt"]) || typeof value["updated_at"] !== "string") {
    throw new SessionError("corrupt", `${paths.draft} is damaged: it is no draft`, { path: paths.draft });
  }
  return value as unknown as SessionDraft;
}
