import type { Message } from "@simulacra-ai/core";
import { has_code, SessionError, session_not_found } from "../../errors.js";
import { messages_to_json } from "../../json.js";
import { merge_metadata, type MetadataPatch } from "../../metadata.js";
import type { FilePolicy } from "./durable-files.js";
import type { FileLayer } from "./file-layer.js";
import { FoldScheduler } from "./fold-scheduler.js";
import type { HoldPolicy } from "./session-holds.js";
import { SessionAccess, storage_error, type Outcome } from "./session-access.js";
import type { SessionFiles } from "./session-files.js";
import type { SessionPaths } from "./session-paths.js";
import type { SessionState } from "./session-view.js";
import type { FileSessionFormat } from "./snapshot-form.js";
import { recovered_id } from "./store-rules.js";

/** The steps of which every change of a session is made, and the folds that follow from them. */
export class SessionChanges {
  readonly #layer: FileLayer;
  readonly #format: FileSessionFormat;
  readonly #access: SessionAccess;
  readonly #folds: FoldScheduler;

  constructor(layer: FileLayer, policy: FilePolicy, root: string, format: FileSessionFormat, holding: HoldPolicy) {
    this.#layer = layer;
    this.#format = format;
    this.#access = new SessionAccess(layer, policy, root, holding);
    this.#folds = new FoldScheduler(layer, policy, (id) => this.#access.settled(id));
  }

  paths(id: string): SessionPaths {
    return this.#access.paths(id);
  }

  /** Resolves when every change asked for so far, and every fold under way, has ended, in whatever way. */
  async settled(): Promise<void> {
    await this.#access.settled();
    await this.#folds.settled();
  }

  /** Inside a change: a fold under way is given up. */
  async give_up_fold(id: string): Promise<void> {
    await this.#folds.give_up(this.paths(id));
  }

  /** A change of a session, behind those asked for before and under its lock; see `SessionAccess.change`. */
  run<T>(
    id: string,
    task: (files: SessionFiles, known: SessionState | undefined) => Promise<Outcome<T>>,
    shortcut?: () => Promise<{ result: T } | undefined>,
  ): Promise<T> {
    return guarded(id, () => this.#access.change(id, task, shortcut));
  }

  /** Adds messages and metadata: to the journal, or where a session has none and only metadata change, at once. */
  async extend(
    files: SessionFiles,
    id: string,
    texts: string[],
    given: MetadataPatch,
    old: SessionState,
  ): Promise<SessionState> {
    const message_count = old.metadata.message_count + texts.length;
    const state = await files.extend(old, texts, merge_metadata(old.metadata, given, { id, message_count }));
    this.#folds.begin_if_long(this.paths(id), state, (fold, signal) =>
      this.run(
        id,
        async (files, known) => {
          const current = await this.state(files, known);
          const folded = current && (await files.finish_fold(fold, current));
          const after = folded ?? current;
          return { result: undefined, state: after, may_go_on: after?.journal !== undefined };
        },
        () => Promise.resolve(signal.aborted ? { result: undefined } : undefined),
      ),
    );
    return state;
  }

  async write(
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
  async state(files: SessionFiles, known: SessionState | undefined): Promise<SessionState | undefined> {
    if (known !== undefined && (await files.is_current(known))) {
      return known;
    }
    const state = (await files.read())?.state;
    const is_of_several_files = state?.journal !== undefined || state?.form.data_ending !== state?.form.head_ending;
    if (is_of_several_files) {
      await files.sync_names(); // whoever put them there may have failed to
    }
    if (state?.journal?.relation !== "foreign") {
      return state;
    }
    await files.require_lock(); // without it, another writer's new journal looks like that
    const { messages, metadata } = await files.foreign_history();
    const rescued = recovered_id(files.id, state.journal.sum);
    await this.#create(rescued, messages, metadata);
    await files.set_journal_aside();
    return (await files.read())?.state;
  }

  /** The same, with what is damaged moved aside. */
  async readable(files: SessionFiles, known: SessionState | undefined): Promise<SessionState | undefined> {
    try {
      const is_known = known !== undefined && (await files.is_current(known));
      if (!is_known) {
        await files.read_all(); // a change of messages reads no more than the head, and would not notice
      }
      return await this.state(files, known);
    } catch (error) {
      if (!has_code(error, "corrupt")) {
        throw error;
      }
      await files.set_aside();
      await files.sweep_links(undefined);
      return undefined;
    }
  }

  async at_revision(
    id: string,
    files: SessionFiles,
    known: SessionState | undefined,
    revision: string,
  ): Promise<SessionState> {
    const state = await this.state(files, known);
    if (state === undefined) {
      throw session_not_found(id);
    }
    if (state.revision !== revision) {
      throw new SessionError("conflict", `session ${id} was changed by another writer`, { session_id: id });
    }
    return state;
  }

  async fold(id: string): Promise<void> {
    await this.#folds.settled(id);
    const is_at_rest = async () =>
      (await this.#layer.stat(this.paths(id).journal)) === undefined ? { result: undefined } : undefined;
    await this.run(
      id,
      async (files) => {
        const found = await this.state(files, undefined);
        const view = found?.journal && (await files.read());
        if (view === undefined) {
          return { result: undefined, state: found };
        }
        const state = await files.fold(view, view.state.metadata);
        await this.#folds.folded(this.paths(id));
        return { result: undefined, state };
      },
      is_at_rest,
    );
  }

  /** A new session; one that is there already stays as it is. */
  async #create(id: string, messages: Message[], metadata: MetadataPatch): Promise<void> {
    const texts = messages_to_json(messages, id);
    await this.run(id, async (files, known) => {
      const old = await this.state(files, known);
      return { result: undefined, state: old ?? (await this.write(files, id, texts, metadata, undefined)) };
    });
  }
}

/** Errors of the operating system become those of this package. */
export async function guarded<T>(id: string | undefined, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw storage_error(error, id);
  }
}
