import { resolve as resolve_path } from "node:path";
import type { Message } from "@simulacra-ai/core";
import { pauses } from "../../async/time-slicer.js";
import { next_turn } from "../../async/timers.js";
import { draft_to_json, holds_prompt } from "../../draft.js";
import { SessionError } from "../../errors.js";
import { messages_to_json } from "../../json.js";
import { apply_query, compare_sessions } from "../../metadata.js";
import { revision_of } from "../../revision.js";
import { note_bytes, publish_operations } from "../../tracing.js";
import type {
  SessionDraft,
  SessionMetadata,
  SessionQuery,
  SessionRevision,
  SessionStore,
  StoredSession,
} from "../../types.js";
import type { FilePolicy } from "./durable-files.js";
import type { FileLayer } from "./file-layer.js";
import { find_form, FORMS } from "./forms.js";
import { ListingCache } from "./listing-cache.js";
import { NODE_FILE_LAYER } from "./node-file-layer.js";
import { repair_session, type FileSessionRepair } from "./repair-session.js";
import { guarded, SessionChanges } from "./session-changes.js";
import { SessionDrafts } from "./session-drafts.js";
import { session_names } from "./session-listing.js";
import { HOLD_POLICY, type HoldPolicy } from "./session-holds.js";
import { require_valid_id } from "./session-paths.js";
import { read_session } from "./session-reader.js";
import type { FileSessionFormat } from "./snapshot-form.js";
import { sort_in_steps } from "./sort-in-steps.js";
import { check, damaged_is_unknown } from "./store-rules.js";
import { verify_directory, type FileSessionProblem } from "./verify-directory.js";

export interface FileSessionStoreOptions {
  /** How new sessions are stored; both forms are read. Default `"json"`. */
  format?: FileSessionFormat;
  /**
   * Whether an acknowledged write is synced to the device, so that it survives a power cut. Default `true`. `false`
   * skips the syncs, not the atomicity: only a snapshot's content is synced before it replaces the one before.
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
  readonly #changes: SessionChanges;
  readonly #drafts: SessionDrafts;
  readonly #listing: ListingCache;

  /**
   * @param root - the directory; made at the first write.
   * @param layer - how files are reached; for tests.
   * @param holding - when locks are held between changes; for tests.
   */
  constructor(
    root: string,
    options: FileSessionStoreOptions = {},
    layer: FileLayer = NODE_FILE_LAYER,
    holding: HoldPolicy = HOLD_POLICY,
  ) {
    const { format = "json", durable = true, file_mode = 0o600, directory_mode = 0o700 } = options;
    if (typeof root !== "string" || root === "") {
      throw new SessionError("invalid_input", "the directory of a FileSessionStore must be a path");
    }
    if (!FORMS.some((form) => form.format === format)) {
      throw new SessionError("invalid_input", `there is no format ${JSON.stringify(format)}`);
    }
    const policy: FilePolicy = { durable, file_mode, directory_mode };
    this.#layer = layer;
    this.#root = resolve_path(root);
    this.#changes = new SessionChanges(layer, policy, this.#root, format, holding);
    this.#drafts = new SessionDrafts(layer, policy);
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
      const draft = await this.#drafts.read(paths); // first: its turn may be completed meanwhile
      const view = await read_session(this.#layer, paths);
      if (view === undefined) {
        return undefined;
      }
      const { metadata, revision } = view.state;
      const messages = view.messages ?? [];
      note_bytes(messages, () => view.state.stamp.size + (view.state.journal?.size ?? 0));
      const is_void = draft === undefined || holds_prompt(messages, draft);
      return { metadata, messages, revision, ...(!is_void && { draft }) };
    });
  }

  async save(id: string, messages: Message[], metadata?: Partial<SessionMetadata>): Promise<void> {
    const given = check(id, metadata);
    const texts = messages_to_json(messages, id);
    await this.#changes.run(id, async (files, known) => {
      await this.#changes.give_up_fold(id);
      const old = await this.#changes.readable(files, known);
      await this.#drop_void_draft(id);
      const state = await this.#changes.write(files, id, texts, given, old);
      return { result: undefined, state };
    });
    await this.#drop_draft(id, messages);
  }

  async delete(id: string): Promise<boolean> {
    require_valid_id(id);
    const is_nowhere = async () =>
      (await this.#layer.real_path(this.#root)) === undefined ? { result: false } : undefined;
    return this.#changes.run(
      id,
      async (files, known) => {
        await this.#changes.give_up_fold(id);
        const old = await this.#changes.state(files, known).catch(damaged_is_unknown);
        if (old === "damaged") {
          await files.sweep_links(undefined);
        }
        const parent_id = old === "damaged" ? undefined : old?.metadata.parent_id;
        const result = await files.remove(parent_id);
        await this.#drafts.remove(this.#changes.paths(id));
        return { result, state: undefined };
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
    const appended = await this.#changes.run(id, async (files, known) => {
      const old = await this.#changes.at_revision(id, files, known, revision);
      const state = await this.#changes.extend(files, id, texts, given, old);
      return { result: { revision: state.revision }, state, may_go_on: true };
    });
    await this.#drop_draft(id, messages);
    return appended;
  }

  async replace(
    id: string,
    messages: Message[],
    options: { revision: string | null; metadata?: Partial<SessionMetadata> },
  ): Promise<SessionRevision> {
    const revision = revision_of(options, id);
    const given = check(id, options.metadata);
    const texts = messages_to_json(messages, id);
    const replaced = await this.#changes.run(id, async (files, known) => {
      await this.#changes.give_up_fold(id);
      const old = await (revision === null
        ? this.#changes.state(files, known)
        : this.#changes.at_revision(id, files, known, revision));
      if (old !== known) {
        await files.read_all(); // what is damaged is not to be replaced
      }
      if (revision === null && old !== undefined) {
        throw new SessionError("conflict", `session ${id} exists already`, { session_id: id });
      }
      await this.#drop_void_draft(id);
      const state = await this.#changes.write(files, id, texts, given, old);
      return { result: { revision: state.revision }, state };
    });
    await this.#drop_draft(id, messages);
    return replaced;
  }

  async update(id: string, metadata: Partial<SessionMetadata>): Promise<boolean> {
    const given = check(id, metadata);
    const is_missing = async () =>
      (await find_form(this.#layer, this.#changes.paths(id))) === undefined ? { result: false } : undefined;
    return this.#changes.run(
      id,
      async (files, known) => {
        const old = await this.#changes.state(files, known);
        const state = old && (await this.#changes.extend(files, id, [], given, old));
        return { result: state !== undefined, state, may_go_on: state?.journal !== undefined };
      },
      is_missing,
    );
  }

  async flush(id?: string): Promise<void> {
    if (id !== undefined) {
      require_valid_id(id);
      await this.#changes.fold(id);
      await guarded(id, () => this.#tidy_draft(id));
      await this.#layer.free?.();
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
    await this.#layer.free?.();
    if (errors.length > 0) {
      throw errors[0];
    }
  }

  /**
   * Reads every file of the directory and reports each problem. Changes nothing. Costs O(all bytes).
   */
  async verify(): Promise<FileSessionProblem[]> {
    return guarded(undefined, () => verify_directory(this.#layer, this.#root));
  }

  /**
   * Makes a damaged session readable: what can be read, up to the first message that cannot, becomes the session, and
   * the damaged files are moved aside. A session that can be read stays as it is.
   * @throws {SessionError} `not_found`, `storage`.
   */
  async repair(id: string): Promise<FileSessionRepair> {
    require_valid_id(id);
    return this.#changes.run(id, async (files) => {
      await this.#changes.give_up_fold(id);
      return repair_session(files, id);
    });
  }

  async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    require_valid_id(id);
    const text = draft_to_json(draft, id);
    return guarded(id, () => this.#drafts.set(this.#changes.paths(id), text, draft?.prompt.id));
  }

  /** Its turn is stored: the draft is void, whether or not it can be removed now. */
  async #drop_draft(id: string, messages: readonly Message[]): Promise<void> {
    await this.#drafts.drop_held(this.#changes.paths(id), messages).catch(() => undefined);
  }

  /** Before the messages are replaced: a draft whose turn is among them does not come back without it. */
  async #drop_void_draft(id: string): Promise<void> {
    const paths = this.#changes.paths(id);
    const draft = await this.#drafts.read(paths);
    if (draft === undefined) {
      return;
    }
    const view = await read_session(this.#layer, paths).catch(damaged_is_unknown);
    if (view !== "damaged" && (view === undefined || holds_prompt(view.messages ?? [], draft))) {
      await this.#drafts.set(paths, undefined);
    }
  }

  /** A draft that was written behind its turn. */
  async #tidy_draft(id: string): Promise<void> {
    const paths = this.#changes.paths(id);
    await this.#drafts.settled(id);
    await this.#drafts.clean(paths);
    const draft = await this.#drafts.read(paths);
    if (draft !== undefined) {
      await this.#drafts.drop_held(paths, (await read_session(this.#layer, paths))?.messages ?? []);
    }
  }
}

publish_operations(FileSessionStore);
