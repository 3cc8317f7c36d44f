import type { Message } from "@simulacra-ai/core";
import { pauses } from "../../async/time-slicer.js";
import { next_turn } from "../../async/timers.js";
import { draft_to_json, holds_prompt } from "../../draft.js";
import { invalid_input, SessionError } from "../../errors.js";
import { messages_to_json } from "../../json.js";
import { apply_query, compare_sessions, type MetadataPatch } from "../../metadata.js";
import { revision_of } from "../../revision.js";
import { note_bytes } from "../../tracing.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";
import { IDLE_POLICY, type IdlePolicy } from "./compaction.js";
import type { FilePolicy } from "./fs/durable-files.js";
import type { FileLayer } from "./fs/file-layer.js";
import { probe_file_system, type FileSystemFeatures } from "./fs/features.js";
import { find_form, FORMS } from "./snapshots/forms.js";
import { ListingCache } from "./list/listing-cache.js";
import { NODE_FILE_LAYER } from "./fs/node-file-layer.js";
import { with_open_files } from "./fs/open-files.js";
import { repair_session, type FileSessionRepair } from "./repair/repair-session.js";
import { SessionChanges, type Outcome } from "./session-changes.js";
import { SessionDrafts } from "./session-drafts.js";
import type { SessionFiles } from "./session-files.js";
import { session_names } from "./list/session-listing.js";
import { LEASE_POLICY, type LeasePolicy } from "./lock/session-leases.js";
import { require_valid_id, resolve_root } from "./session-paths.js";
import { read_session } from "./session-reader.js";
import type { SessionState } from "./session-view.js";
import type { FileSessionFormat } from "./format/snapshot-header.js";
import { sort_in_steps } from "./list/sort-in-steps.js";
import { guarded } from "./fs/storage-error.js";
import { check, damaged_is_unknown, require_parsable } from "./store-rules.js";
import { AlikeId, TrueNames } from "./true-names.js";
import { verify_directory, type FileSessionProblem } from "./repair/verify-directory.js";

export interface FileSessionStoreOptions {
  /** How new sessions are stored; both forms are read. Default `"json"`. */
  format?: FileSessionFormat;
  /**
   * Whether an acknowledged write is synced to the device, so that it survives a power cut. Default `true`. `false`
   * skips the syncs, not the atomicity: only the content of a new file is synced, before the file gets its name.
   */
  durable?: boolean;
  /** The mode of new files. Default `0o600`. */
  file_mode?: number;
  /** The mode of new directories. Default `0o700`. */
  directory_mode?: number;
  /**
   * Milliseconds for which a write waits for one holder of a session's lock, such as a process that is stopped. Then the
   * write rejects with `storage`. Default 20,000.
   */
  lock_timeout_ms?: number;
}

/**
 * Sessions as JSON files in a directory: `{id}.json`, with what was appended since in `{id}.journal`, and hard links
 * to the forks of a session in `{id}-forks/`. Any number of processes may use one directory. What was acknowledged
 * survives the death of the process and, with `durable`, of the machine.
 */
export class FileSessionStore implements SessionStore {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #root: string;
  readonly #changes: SessionChanges;
  readonly #drafts: SessionDrafts;
  readonly #listing: ListingCache;

  /**
   * @param root - the directory, as a path or a `file:` URL; made at the first write.
   * @param layer - how files are reached; for tests.
   * @param leasing - when locks are kept between changes; for tests.
   * @param idle - when a session is compacted that is not changed any more; for tests.
   */
  constructor(
    root: string | { readonly href: string },
    options: FileSessionStoreOptions = {},
    layer: FileLayer = NODE_FILE_LAYER,
    leasing: LeasePolicy = LEASE_POLICY,
    idle: IdlePolicy = IDLE_POLICY,
  ) {
    const { format = "json", durable = true, lock_timeout_ms = 20_000 } = options;
    const { file_mode = 0o600, directory_mode = 0o700 } = options;
    if (!FORMS.some((form) => form.format === format)) {
      throw invalid_input(`there is no format ${JSON.stringify(format)}`);
    }
    if (typeof lock_timeout_ms !== "number" || !(lock_timeout_ms >= 0)) {
      throw invalid_input(`lock_timeout_ms is not a number of milliseconds: ${lock_timeout_ms}`);
    }
    const policy: FilePolicy = { durable, file_mode, directory_mode, lock_timeout_ms };
    this.#layer = layer;
    this.#policy = policy;
    this.#root = resolve_root(root);
    const names = new TrueNames(layer);
    this.#changes = new SessionChanges(layer, policy, this.#root, { format, leasing, names, idle });
    this.#drafts = new SessionDrafts(layer, policy, names);
    this.#listing = new ListingCache(layer, this.#root);
  }

  async list(query?: SessionQuery): Promise<SessionMetadata[]> {
    return guarded(undefined, async () => {
      const pause = pauses();
      const names = await session_names(this.#layer, this.#root, FORMS, pause);
      const entries = await this.#listing.list(names, pause);
      const sorted = await sort_in_steps(entries, compare_sessions, pause);
      await next_turn();
      return apply_query(sorted, query);
    });
  }

  async load(id: string): Promise<StoredSession | undefined> {
    require_valid_id(id);
    return guarded(id, async () => {
      const paths = this.#changes.paths(id);
      const { draft, view } = await with_open_files(this.#layer, async () => {
        const draft = await this.#drafts.read(paths); // first: its turn may be completed meanwhile
        return { draft, view: await read_session(this.#layer, paths) };
      });
      if (!view) {
        return undefined;
      }
      await this.#changes.require_own_name(id, view.state);
      const { metadata, revision } = view.state;
      const messages = view.messages ?? [];
      note_bytes(messages, () => view.state.stamp.size + (view.state.journal?.size ?? 0));
      const is_void = draft === undefined || holds_prompt(messages, draft);
      return { metadata, messages, revision, ...(!is_void && { draft }) };
    });
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    await this.#store(id, messages, metadata, async (files, texts, given) => {
      await files.give_up_compaction();
      const old = await files.readable();
      return this.#rewrite(files, texts, given, old);
    });
  }

  async append(
    id: string,
    messages: Message[],
    options: { revision: string; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const revision = revision_of(options, id);
    return this.#store(id, messages, options.metadata, async (files, texts, given) => {
      const old = await files.at_revision(revision);
      const state = await files.extend(texts, given, old);
      return { result: { revision: state.revision }, state, may_go_on: true };
    });
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const revision = revision_of(options, id);
    return this.#store(id, messages, options.metadata, async (files, texts, given) => {
      await files.give_up_compaction();
      const old = await (revision === null ? files.state() : files.at_revision(revision));
      if (old !== files.known) {
        await files.read_all(); // what is damaged is not to be replaced
      }
      if (revision === null && old) {
        throw new SessionError("conflict", `session ${id} exists already`, { session_id: id });
      }
      return this.#rewrite(files, texts, given, old);
    });
  }

  async update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    const given = check(id, metadata);
    return this.#changes.run(
      id,
      async (files) => {
        const old = await files.state();
        const state = old && (await files.extend([], given, old));
        return { result: state !== undefined, state, may_go_on: state?.journal !== undefined };
      },
      async () => ((await find_form(this.#layer, this.#changes.paths(id))) ? undefined : { result: false }),
    );
  }

  async delete(id: string): Promise<boolean> {
    require_valid_id(id);
    const removed = this.#changes.run(
      id,
      async (files) => {
        await files.give_up_compaction();
        const old = await files.state().catch((error: unknown) => files.damage_of(error));
        if (old === "never a session") {
          return { result: false, state: undefined };
        }
        if (old === "damaged") {
          await files.sweep_links(undefined);
        }
        const parent_id = old === "damaged" ? undefined : old?.metadata.parent_id;
        const result = await this.#drafts.remove_with(this.#changes.paths(id), () => files.remove(parent_id));
        return { result, state: undefined };
      },
      async () => ((await this.#layer.real_path(this.#root)) === undefined ? { result: false } : undefined),
    );
    return removed.catch((error: unknown) => {
      if (error instanceof AlikeId) {
        return false; // there is no session with exactly this id
      }
      throw error;
    });
  }

  async flush(id?: string): Promise<void> {
    if (id !== undefined) {
      require_valid_id(id);
      await this.#changes.compact(id);
      await guarded(id, () => this.#tidy_draft(id));
      return;
    }
    await this.#changes.settled();
    await this.#drafts.settled();
    const sessions = await guarded(undefined, () => session_names(this.#layer, this.#root, FORMS));
    const errors: unknown[] = [];
    for (const { id: of, has_journal, has_draft } of sessions) {
      if (has_journal || has_draft) {
        await this.flush(of).catch((error: unknown) => errors.push(error)); // the others are not to wait for it
      }
    }
    if (errors.length > 0) {
      throw errors[0];
    }
  }

  /**
   * Reads every file of the directory and reports each problem. Changes nothing. Costs O(all bytes). Where a link to a
   * fork is missing, looks as `file_system` does whether there can be one.
   */
  async verify(): Promise<FileSessionProblem[]> {
    return guarded(undefined, () =>
      with_open_files(this.#layer, () => verify_directory(this.#layer, this.#root, this.#policy)),
    );
  }

  /**
   * Tells what the file system of the directory offers. Tries each operation on files that no session can have, and
   * removes them. Makes the directory, as a write does. Costs a dozen operations each time.
   * @throws {SessionError} `storage` if nothing can be written there.
   */
  async file_system(): Promise<FileSystemFeatures> {
    return guarded(undefined, () =>
      with_open_files(this.#layer, () => probe_file_system(this.#layer, this.#root, this.#policy)),
    );
  }

  /**
   * Makes a damaged session readable: what can be read, up to the first message that cannot, becomes the session, and
   * the damaged files are moved aside. A session that can be read stays as it is.
   * @throws {SessionError} `not_found`, `storage`.
   */
  async repair(id: string): Promise<FileSessionRepair> {
    require_valid_id(id);
    return this.#changes.run(id, async (files) => {
      await files.give_up_compaction();
      return repair_session(files, id);
    });
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    require_valid_id(id);
    const text = draft_to_json(draft, id);
    return guarded(id, () => this.#drafts.set(this.#changes.paths(id), text));
  }

  /** Runs a change that stores messages. The draft of a turn that is stored is void, whether or not it can be removed now. */
  async #store(
    id: string,
    messages: Message[],
    metadata: Partial<SessionMetadata> | undefined,
    change: (files: SessionFiles, texts: string[], given: MetadataPatch) => Promise<Outcome<SessionRevision>>,
  ): Promise<SessionRevision> {
    const given = check(id, metadata);
    const texts = messages_to_json(messages, id);
    texts.forEach((text, n) => require_parsable(text, n, id));
    const stored = await this.#changes.run(id, (files) => change(files, texts, given));
    await this.#drafts.drop_held(this.#changes.paths(id), messages, false).catch(() => undefined);
    return stored;
  }

  async #rewrite(
    files: SessionFiles,
    texts: string[],
    given: MetadataPatch,
    old: SessionState | undefined,
  ): Promise<Outcome<SessionRevision>> {
    // first: the draft of a turn that this change removes would not be void any more
    const messages = await this.#messages_beside_draft(files.id);
    await this.#drafts.drop_held(this.#changes.paths(files.id), messages, true);
    const state = await files.rewrite(texts, given, old);
    return { result: { revision: state.revision }, state };
  }

  /** Removes what is left of drafts. */
  async #tidy_draft(id: string): Promise<void> {
    const paths = this.#changes.paths(id);
    await this.#drafts.settled(id);
    await this.#drafts.clean(paths);
    const messages = await with_open_files(this.#layer, () => this.#messages_beside_draft(id));
    await this.#drafts.drop_held(paths, messages, true);
  }

  /** Inside a turn to open files: returns the messages of a session that has a draft. */
  async #messages_beside_draft(id: string): Promise<Message[]> {
    const paths = this.#changes.paths(id);
    const draft = await this.#drafts.read(paths);
    const view = draft && (await read_session(this.#layer, paths).catch(damaged_is_unknown));
    return view && view !== "damaged" ? (view.messages ?? []) : [];
  }
}
