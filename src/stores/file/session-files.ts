import type { Message } from "@simulacra-ai/core";
import { SessionError, session_not_found } from "../../errors.js";
import type { SessionMetadata } from "../../types.js";
import { keep_aside, remove_if_there, rename_if_there, sync_directory, with_file } from "./durable-files.js";
import { is_errno, same_stamp, write_all, type FileStamp, type OpenFile } from "./file-layer.js";
import { ForkLinks } from "./fork-links.js";
import { encode_header, encode_record, make_patch } from "./journal.js";
import { find_form, FORMS } from "./forms.js";
import { read_foreign_history, read_session, read_state } from "./session-reader.js";
import type { JournalState, SessionState, SessionView } from "./session-view.js";
import type { ChangeContext, FileSessionFormat, SnapshotHead, Succession, WrittenSnapshot } from "./snapshot-form.js";
import { salvage_session, type Salvage } from "./salvage.js";
import { new_token } from "./token.js";

/** The files of one session under their lock: every step that changes them. */
export class SessionFiles {
  readonly #context: ChangeContext;
  readonly #links: ForkLinks;

  constructor(context: ChangeContext) {
    this.#context = context;
    this.#links = new ForkLinks(context);
  }

  get id(): string {
    return this.#context.paths.id;
  }

  /** Whether the files still are as this state says. */
  async is_current({ form, stamp, journal: known }: SessionState): Promise<boolean> {
    const { layer, paths } = this.#context;
    const snapshot = await form.stamp(layer, paths);
    const journal = await layer.stat(paths.journal);
    return snapshot?.key === stamp.key && same_stamp(journal, known?.stamp);
  }

  /** Reads what a change needs to know; first completes what a killed writer had decided. */
  async read(): Promise<SessionView | undefined> {
    const { layer, paths } = this.#context;
    await (await find_form(layer, paths))?.recover(this.#context);
    return read_state(layer, paths);
  }

  /**
   * After a lock was taken over: what its former holder, should it live after all, may still write to is no longer
   * the session's. Links that it left in folders of other parents are removed.
   */
  async take_over(): Promise<void> {
    const view = await this.read();
    if (view?.state.journal?.relation === "continues") {
      await this.fold(view, view.state.metadata);
    }
  }

  /** Removes links to this session from the folders of all parents but this one. */
  async sweep_links(parent_id: string | undefined): Promise<void> {
    await this.#links.sweep(parent_id);
  }

  /** Reads and checks everything. */
  async read_all(): Promise<SessionView | undefined> {
    const { layer, paths } = this.#context;
    await (await find_form(layer, paths))?.recover(this.#context);
    return read_session(layer, paths);
  }

  async require_lock(): Promise<void> {
    await this.#context.lock.require_held();
  }

  /** The history in a journal whose snapshot another writer replaced, as a session of its own. */
  async foreign_history(): Promise<{ messages: Message[]; metadata: Partial<SessionMetadata> }> {
    const { layer, paths } = this.#context;
    return read_foreign_history(layer, paths);
  }

  async set_journal_aside(): Promise<void> {
    const { layer, policy, paths, lock } = this.#context;
    await lock.require_held();
    await keep_aside(layer, paths.journal, "conflict");
    await sync_directory(layer, paths.root, policy);
    await this.#retire_journal(undefined);
  }

  /** Replaces everything by these messages, each a JSON text; a new session is laid out in this format. */
  async write(
    texts: readonly string[],
    metadata: SessionMetadata,
    old: SessionState | undefined,
    format: FileSessionFormat,
    revision = new_token(16),
  ): Promise<SessionState> {
    const found = old?.form ?? (await find_form(this.#context.layer, this.#context.paths));
    if (found === undefined) {
      await this.#remove_all([this.#context.paths.journal]); // without a snapshot it is none of a session
    }
    const form = found ?? FORMS.find((known) => known.format === format);
    if (form === undefined) {
      throw new SessionError("invalid_input", `there is no format ${JSON.stringify(format)}`);
    }
    return this.#commit(form, metadata, old, () =>
      form.write(this.#context, texts, metadata, succession(old, revision)),
    );
  }

  /** Rewrites the snapshot with what the journal adds, and with this metadata. The messages stay what they are. */
  async fold({ state, records, messages = [] }: SessionView, metadata: SessionMetadata): Promise<SessionState> {
    const { form, head, revision } = state;
    if (head === undefined) {
      const texts = messages.map((message) => JSON.stringify(message));
      return this.write(texts, metadata, state, form.format, revision);
    }
    const added = records.filter((record) => record.count > 0).map((record) => record.body);
    return this.#commit(form, metadata, state, () =>
      form.extend(this.#context, head, added, metadata, succession(state, revision)),
    );
  }

  async #commit(
    form: SessionState["form"],
    metadata: SessionMetadata,
    old: SessionState | undefined,
    write: () => Promise<WrittenSnapshot>,
  ): Promise<SessionState> {
    const { head, stamp } = await write();
    const was_retired = await this.#retire_journal(old?.journal?.stamp);
    if (was_retired && old === undefined) {
      await sync_directory(this.#context.layer, this.#context.paths.root, this.#context.policy); // it may be damaged
    }
    await this.#links.refresh(form, old?.metadata.parent_id, metadata.parent_id);
    return { form, stamp, head, journal: undefined, metadata, revision: head.store.revision };
  }

  /**
   * Adds messages and metadata: to the journal, or where there is none and only metadata change, at once. A snapshot
   * of another writer, and one whose last fold was cut short, is first made whole and ours.
   */
  async extend(state: SessionState, texts: readonly string[], metadata: SessionMetadata): Promise<SessionState> {
    const { head, journal } = state;
    const has_journal = journal?.relation === "continues";
    const is_whole = head !== undefined && (!has_journal || journal.base === head.store.generation);
    if (is_whole && (texts.length > 0 || has_journal)) {
      return this.#append(state, texts, metadata);
    }
    const view = await this.read();
    if (view === undefined) {
      throw session_not_found(this.#context.paths.id);
    }
    return texts.length === 0
      ? this.fold(view, metadata)
      : this.#append(await this.fold(view, view.state.metadata), texts, metadata);
  }

  async #append(state: SessionState, messages: readonly string[], metadata: SessionMetadata): Promise<SessionState> {
    const head = state.head as SnapshotHead;
    const base = head.store.generation;
    const journal = state.journal?.relation === "continues" ? state.journal : undefined;
    if (journal === undefined && state.journal !== undefined) {
      await this.#retire_journal(state.journal.stamp); // spent
    }
    const first = journal ? undefined : encode_header({ journal: 1, base, messages: head.store.messages });
    const revision = messages.length > 0 ? new_token(16) : state.revision;
    const n = (journal?.records ?? 0) + 1;
    const record = encode_record(messages, {
      n,
      base,
      prev: journal?.sum ?? first?.sum ?? "",
      at: state.metadata.message_count,
      count: messages.length,
      revision,
      metadata: make_patch(head.metadata, metadata),
      ...(!this.#context.policy.durable && { durable: false }),
    });
    const stamp = journal
      ? await this.#extend_journal(journal, record.bytes)
      : await this.#begin_journal(Buffer.concat([first?.bytes ?? Buffer.alloc(0), record.bytes]));
    if (state.metadata.parent_id !== metadata.parent_id) {
      await this.#links.refresh(state.form, state.metadata.parent_id, metadata.parent_id);
    }
    return {
      ...state,
      metadata,
      revision,
      journal: { stamp, base, sum: record.sum, end: stamp.size, records: n, relation: "continues" },
    };
  }

  async #create_journal(): Promise<OpenFile> {
    const { layer, policy, paths, lock } = this.#context;
    try {
      return await layer.create(paths.journal, policy.file_mode);
    } catch (error) {
      if (!is_errno(error, "EEXIST")) {
        throw error;
      }
      await lock.require_held(); // a writer that has lost its lock has put it there since
      await this.#retire_journal(undefined);
      return layer.create(paths.journal, policy.file_mode);
    }
  }

  async #begin_journal(bytes: Buffer): Promise<FileStamp> {
    const { layer, policy, paths } = this.#context;
    let stamp: FileStamp | undefined;
    try {
      return await with_file(await this.#create_journal(), async (file) => {
        stamp = await file.stat();
        await write_all(file, bytes, 0);
        if (policy.durable) {
          await file.sync();
        }
        await sync_directory(layer, paths.root, policy);
        return this.#require_ours(file);
      });
    } catch (error) {
      await this.#retire_journal(stamp).catch(() => undefined); // the first error says more
      throw error;
    }
  }

  /**
   * Removes the journal, if it still is this one. It is moved away first and looked at then: a writer that has lost
   * its lock must not remove its successor's. Not synced: a journal that comes back after a power cut is done with.
   */
  async #retire_journal(stamp: FileStamp | undefined): Promise<boolean> {
    const { layer, paths, lock } = this.#context;
    const grave = paths.temporary(lock.token);
    if (!(await rename_if_there(layer, paths.journal, grave))) {
      return false;
    }
    const moved = await layer.stat(grave);
    const is_ours = (stamp !== undefined && moved?.inode === stamp.inode) || (await lock.is_held());
    if (!is_ours) {
      await rename_if_there(layer, grave, paths.journal);
      throw lock.broken();
    }
    await remove_if_there(layer, grave);
    return true;
  }

  async #extend_journal({ end, stamp }: JournalState, bytes: Buffer): Promise<FileStamp> {
    const { layer, policy, paths } = this.#context;
    return with_file(await layer.open(paths.journal, "modify"), async (file) => {
      if (!same_stamp(await file.stat(), stamp)) {
        throw this.#context.lock.broken();
      }
      if (stamp.size > end) {
        await file.truncate(end); // a torn tail; behind it, two records would weld into one
      }
      try {
        await write_all(file, bytes, end);
        if (policy.durable) {
          await file.datasync();
        }
      } catch (error) {
        await file.truncate(end).catch(() => undefined); // the first error says more
        throw error;
      }
      return this.#require_ours(file);
    });
  }

  /** Before a record is acknowledged: the journal is still the one of this name, and the lock still ours. */
  async #require_ours(file: OpenFile): Promise<FileStamp> {
    const { layer, paths, lock } = this.#context;
    const stamp = await file.stat();
    await lock.require_held();
    if ((await layer.stat(paths.journal))?.inode !== stamp.inode) {
      throw lock.broken();
    }
    return stamp;
  }

  /** Removes the session. Returns whether there was one. */
  async remove(parent_id: string | undefined): Promise<boolean> {
    const { layer, policy, paths } = this.#context;
    await this.#links.remove(parent_id);
    const heads = FORMS.map((form) => form.head_path(paths));
    const rest = FORMS.flatMap((form) => form.file_paths(paths)).filter((path) => !heads.includes(path));
    const existed = await this.#remove_all(heads);
    if (existed) {
      await sync_directory(layer, paths.root, policy); // without its journal a snapshot would be an older session
    }
    await this.#remove_all([...rest, paths.journal]); // nothing without the head
    return existed;
  }

  /** Returns whether there were any. */
  async #remove_all(files: readonly string[]): Promise<boolean> {
    let existed = false;
    for (const path of files) {
      existed = (await remove_if_there(this.#context.layer, path)) || existed;
    }
    return existed;
  }

  /** Takes what is readable of a damaged session, and moves its files out of the way. */
  async salvage(): Promise<{ salvage: Salvage; form: FileSessionFormat; set_aside: string[] }> {
    const { layer, paths } = this.#context;
    const form = await find_form(layer, paths);
    if (form === undefined) {
      throw session_not_found(paths.id);
    }
    const salvage = await salvage_session(layer, paths, form);
    return { salvage, form: form.format, set_aside: await this.set_aside() };
  }

  /**
   * Keeps what cannot be read under other names, before it is replaced. Returns where. Until then it keeps its own
   * name too: what is damaged is never missing.
   */
  async set_aside(): Promise<string[]> {
    const { layer, policy, paths } = this.#context;
    const form = await find_form(layer, paths);
    const kept: string[] = [];
    for (const path of [paths.journal, ...(form?.file_paths(paths) ?? [])]) {
      if ((await layer.stat(path)) !== undefined) {
        kept.push(await keep_aside(layer, path, "corrupt"));
      }
    }
    await sync_directory(layer, paths.root, policy);
    return kept;
  }
}

/** What a new snapshot notes of the one it replaces. */
function succession(old: SessionState | undefined, revision: string): Succession {
  const journal = old?.journal;
  const is_merged = old?.head === undefined && journal?.relation === "spent";
  const previous = old?.head?.store.generation ?? (is_merged ? (journal?.base ?? null) : null);
  const folded = journal !== undefined && journal.base === previous ? journal.records : 0;
  return { version: 1, generation: new_token(16), previous, folded, revision };
}
