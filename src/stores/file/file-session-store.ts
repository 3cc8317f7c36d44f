import { resolve as resolve_path } from "node:path";
import type { Message } from "@simulacra-ai/core";
import { has_code, SessionError, session_not_found } from "../../errors.js";
import { messages_to_json } from "../../json.js";
import { apply_query, merge_metadata, type MetadataPatch } from "../../metadata.js";
import { revision_of } from "../../revision.js";
import type { SessionMetadata, SessionQuery, SessionRevision, SessionStore, StoredSession } from "../../types.js";
import type { FilePolicy } from "./durable-files.js";
import type { FileLayer } from "./file-layer.js";
import { FoldScheduler } from "./fold-scheduler.js";
import { find_form, FORMS } from "./forms.js";
import { ListingCache } from "./listing-cache.js";
import { NODE_FILE_LAYER } from "./node-file-layer.js";
import { SessionAccess, storage_error, type Outcome } from "./session-access.js";
import { next_turn, pauses } from "./pauses.js";
import type { SessionFiles } from "./session-files.js";
import { check, damaged_is_unknown, recovered_id, unless_there } from "./store-rules.js";
import { repair_session, type FileSessionRepair } from "./repair-session.js";
import { session_names } from "./session-listing.js";
import { require_valid_id } from "./session-paths.js";
import { read_session } from "./session-reader.js";
import type { SessionState } from "./session-view.js";
import type { FileSessionFormat } from "./snapshot-form.js";
import { verify_directory, type FileSessionProblem } from "./verify-directory.js";

export interface FileSessionStoreOptions {
  /** How new sessions are stored; both forms are read. Default `"json"`. */
  format?: FileSessionFormat;
  /**
   * Whether an acknowledged write is synced to the device, so that it survives a power cut. Default `true`. `false`
   * skips the syncs, not the atomicity.
   */
  durable?: boolean;
  /** The mode of new files. Default `0o600`. */
  file_mode?: number;
  /** The mode of new directories. Default `0o700`. */
  directory_mode?: number;
}

/**
 * Sessions as JSON files in a directory: `{id}.json`, with what was appended since in `{id}.journal`, and hard links
 * to the forks of a session in `{id}-forks/`. Any number of processes may use one directory. What was acknowledged
 * survives the death of the process and, with `durable`, of the machine.
 */
export class FileSessionStore implements SessionStore {
  readonly #layer: FileLayer;
  readonly #root: string;
  readonly #format: FileSessionFormat;
  readonly #access: SessionAccess;
  readonly #listing: ListingCache;
  readonly #folds: FoldScheduler;

  /**
   * @param root - the directory; made at the first write.
   * @param layer - how files are reached; for tests.
   */
  constructor(root: string, options: FileSessionStoreOptions = {}, layer: FileLayer = NODE_FILE_LAYER) {
    const { format = "json", durable = true, file_mode = 0o600, directory_mode = 0o700 } = options;
    if (typeof root !== "string" || root === "") {
      throw new SessionError("invalid_input", "the directory of a FileSessionStore must be a path");
    }
    if (!FORMS.some((form) => form.format === format)) {
      throw new SessionError("invalid_input", `there is no format ${JSON.stringify(format)}`);
    }
    const policy: FilePolicy = { durable, file_mode, directory_mode };
    this.#layer = layer;
    this.#format = format;
    this.#root = resolve_path(root);
    this.#access = new SessionAccess(layer, policy, this.#root);
    this.#folds = new FoldScheduler(layer, policy);
    this.#listing = new ListingCache(layer, this.#root);
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return this.#guard(undefined, async () => {
      const pause = pauses();
      const names = await session_names(this.#layer, this.#root, FORMS, pause);
      const entries = await this.#listing.list(names, pause);
      await next_turn();
      return apply_query(entries, query);
    });
  }

  async load(id: string): Promise<StoredSession | undefined> {
    require_valid_id(id);
    return this.#guard(id, async () => {
      const view = await read_session(this.#layer, this.#access.paths(id));
      return (
        view && {
          metadata: view.state.metadata,
          messages: view.messages ?? [],
          revision: view.state.revision,
        }
      );
    });
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    const given = check(id, metadata);
    const texts = messages_to_json(messages, id);
    return this.#change(id, async (files, known) => {
      await this.#folds.give_up(id);
      const old = await this.#readable(files, known);
      const state = await this.#write(files, id, texts, given, old);
      return { result: undefined, state };
    });
  }

  async delete(id: string): Promise<boolean> {
    require_valid_id(id);
    const is_nowhere = async () =>
      (await this.#layer.real_path(this.#root)) === undefined ? { result: false } : undefined;
    return this.#change(
      id,
      async (files, known) => {
        await this.#folds.give_up(id);
        const old = await this.#state(files, known).catch(damaged_is_unknown);
        if (old === "damaged") {
          await files.sweep_links(undefined);
        }
        const parent_id = old === "damaged" ? undefined : old?.metadata.parent_id;
        return { result: await files.remove(parent_id), state: undefined };
      },
      is_nowhere,
    );
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const revision = revision_of(options, id);
    const given = check(id, options.metadata);
    const texts = messages_to_json(messages, id);
    return this.#change(id, async (files, known) => {
      const old = await this.#at_revision(id, files, known, revision);
      const state = await this.#extend(files, id, texts, given, old);
      return { result: { revision: state.revision }, state };
    });
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const revision = revision_of(options, id);
    const given = check(id, options.metadata);
    const texts = messages_to_json(messages, id);
    return this.#change(id, async (files, known) => {
      await this.#folds.give_up(id);
      const old = await (revision === null ? this.#state(files, known) : this.#at_revision(id, files, known, revision));
      if (old !== known) {
        await files.read_all(); // what is damaged is not to be replaced
      }
      if (revision === null && old !== undefined) {
        throw new SessionError("conflict", `session ${id} exists already`, { session_id: id });
      }
      const state = await this.#write(files, id, texts, given, old);
      return { result: { revision: state.revision }, state };
    });
  }

  async update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    const given = check(id, metadata);
    const is_missing = async () =>
      (await find_form(this.#layer, this.#access.paths(id))) === undefined ? { result: false } : undefined;
    return this.#change(
      id,
      async (files, known) => {
        const old = await this.#state(files, known);
        return old === undefined
          ? { result: false, state: undefined }
          : { result: true, state: await this.#extend(files, id, [], given, old) };
      },
      is_missing,
    );
  }

  async flush(id?: string): Promise<void> {
    if (id !== undefined) {
      require_valid_id(id);
      return this.#fold(id);
    }
    await this.#access.settled();
    await this.#folds.settled();
    const sessions = await this.#guard(undefined, () => session_names(this.#layer, this.#root, FORMS));
    const errors: unknown[] = [];
    for (const { id: of, has_journal } of sessions) {
      if (has_journal) {
        await this.#fold(of).catch((error: unknown) => errors.push(error)); // the others are not to wait for it
      }
    }
    if (errors.length > 0) {
      throw errors[0];
    }
  }

  /**
   * Reads every file of the directory and reports each problem. Changes nothing. Costs O(all bytes).
   */
  async verify(): Promise<FileSessionProblem[]> {
    return this.#guard(undefined, () => verify_directory(this.#layer, this.#root));
  }

  /**
   * Makes a damaged session readable: what can be read, up to the first message that cannot, becomes the session, and
   * the damaged files are moved aside. A session that can be read stays as it is.
   * @throws {SessionError} `not_found`, `storage`.
   */
  async repair(id: string): Promise<FileSessionRepair> {
    require_valid_id(id);
    return this.#change(id, async (files) => {
      await this.#folds.give_up(id);
      return repair_session(files, id);
    });
  }

  /** Adds messages and metadata: to the journal, or where a session has none and only metadata change, at once. */
  async #extend(
    files: SessionFiles,
    id: string,
    texts: string[],
    given: MetadataPatch,
    old: SessionState,
  ): Promise<SessionState> {
    const message_count = old.metadata.message_count + texts.length;
    const state = await files.extend(old, texts, merge_metadata(old.metadata, given, { id, message_count }));
    this.#folds.begin_if_long(this.#access.paths(id), state, (fold, signal) =>
      this.#change(
        id,
        async (files, known) => {
          const current = await this.#state(files, known);
          const folded = current && (await files.finish_fold(fold, current));
          return { result: undefined, state: folded ?? current };
        },
        () => Promise.resolve(signal.aborted ? { result: undefined } : undefined),
      ),
    );
    return state;
  }

  async #write(
    files: SessionFiles,
    id: string,
    texts: string[],
    given: MetadataPatch,
    old: SessionState | undefined,
  ): Promise<SessionState> {
    const metadata = merge_metadata(old?.metadata, given, { id, message_count: texts.length });
    return files.write(texts, metadata, old, this.#format);
  }

  /** What is stored now, from memory where the files are as they were left. */
  async #state(files: SessionFiles, known: SessionState | undefined): Promise<SessionState | undefined> {
    if (known !== undefined && (await files.is_current(known))) {
      return known;
    }
    const state = (await files.read())?.state;
    if (state?.journal?.relation !== "foreign") {
      return state;
    }
    await files.require_lock(); // without it, another writer's new journal looks like that
    const { messages, metadata } = await files.foreign_history();
    const rescued = recovered_id(files.id, state.journal.sum);
    await this.replace(rescued, messages, { revision: null, metadata }).catch(unless_there);
    await files.set_journal_aside();
    return (await files.read())?.state;
  }

  /** The same, with what is damaged moved aside. */
  async #readable(files: SessionFiles, known: SessionState | undefined): Promise<SessionState | undefined> {
    try {
      const is_known = known !== undefined && (await files.is_current(known));
      if (!is_known) {
        await files.read_all(); // a change of messages reads no more than the head, and would not notice
      }
      return await this.#state(files, known);
    } catch (error) {
      if (!has_code(error, "corrupt")) {
        throw error;
      }
      await files.set_aside();
      await files.sweep_links(undefined);
      return undefined;
    }
  }

  async #at_revision(
    id: string,
    files: SessionFiles,
    known: SessionState | undefined,
    revision: string,
  ): Promise<SessionState> {
    const state = await this.#state(files, known);
    if (state === undefined) {
      throw session_not_found(id);
    }
    if (state.revision !== revision) {
      throw new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
    }
    return state;
  }

  async #fold(id: string): Promise<void> {
    await this.#folds.settled(id);
    const is_at_rest = async () =>
      (await this.#layer.stat(this.#access.paths(id).journal)) === undefined ? { result: undefined } : undefined;
    await this.#change(
      id,
      async (files) => {
        const found = await this.#state(files, undefined);
        const view = found?.journal && (await files.read());
        if (view === undefined) {
          return { result: undefined, state: found };
        }
        const state = await files.fold(view, view.state.metadata);
        this.#folds.folded(id);
        return { result: undefined, state };
      },
      is_at_rest,
    );
  }

  #change<T>(
    id: string,
    task: (files: SessionFiles, known: SessionState | undefined) => Promise<Outcome<T>>,
    shortcut?: () => Promise<{ result: T } | undefined>,
  ): Promise<T> {
    return this.#guard(id, () => this.#access.change(id, task, shortcut));
  }

  async #guard<T>(id: string | undefined, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      throw storage_error(error, id);
    }
  }
}
