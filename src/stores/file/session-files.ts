import type { Message } from "@simulacra-ai/core";
import { changed_meanwhile, has_code, session_not_found } from "../../errors.js";
import { merge_metadata, type MetadataPatch } from "../../metadata.js";
import type { SessionMetadata } from "../../types.js";
import { sync_directory } from "./fs/durable-files.js";
import { same_stamp } from "./fs/file-layer.js";
import { refresh_link, remove_link, sweep_links } from "./fork-links.js";
import { ForeignWrite } from "./foreign-write.js";
import { find_form, form_of } from "./snapshots/forms.js";
import type { SessionLock } from "./lock/session-lock.js";
import { begin_journal, encode_next, join_messages } from "./format/journal.js";
import { JSON_SEPARATOR } from "./format/json-text.js";
import { JournalFile } from "./journal-file.js";
import { records_in, type JournalPlace } from "./journal-reader.js";
import { keep_session_aside, remove_followers, remove_session } from "./session-removal.js";
import { salvage_session, type Salvage } from "./repair/salvage.js";
import { content_with_journal, succession_of, type Compactor, type PreparedCompaction } from "./compaction.js";
import { read_foreign_history, read_session, read_state } from "./session-reader.js";
import { type SessionState, type SessionView } from "./session-view.js";
import {
  content_of,
  stamp_snapshot,
  type ChangeContext,
  type PreparedSnapshot,
  type SnapshotContent,
} from "./snapshots/snapshot-form.js";
import type { Succession } from "./format/snapshot-header.js";
import { type FileSessionFormat, type SnapshotHead } from "./format/snapshot-header.js";
import { new_token } from "./fs/token.js";
import { NotASession } from "./format/corrupt.js";
import { damaged_is_unknown, recovered_id } from "./store-rules.js";

/** How a snapshot is written that replaces everything. */
interface Writing {
  /** Of its messages; without it a new one. */
  revision?: string;
  /** The note about the journal, where the state before does not say. */
  succession?: Partial<Succession> | undefined;
}

/** Creates a session, if it is not there already. */
type CreateSession = (id: string, messages: Message[], metadata: MetadataPatch) => Promise<void>;

/** The files of one session under their lock: every step that changes them. */
export class SessionFiles {
  /** The session as this store knew it before the present change. */
  known: SessionState | undefined;
  readonly #context: ChangeContext;
  readonly #format: FileSessionFormat;
  readonly #compactor: Compactor;
  readonly #create: CreateSession;
  readonly #journal: JournalFile;

  /** `format`: of new sessions. */
  constructor(context: ChangeContext, format: FileSessionFormat, compactor: Compactor, create: CreateSession) {
    this.#context = context;
    this.#format = format;
    this.#compactor = compactor;
    this.#create = create;
    this.#journal = new JournalFile(context);
  }

  get id(): string {
    return this.#context.paths.id;
  }

  get lock(): SessionLock {
    return this.#context.lock;
  }

  /** Closes what is open, and lets go of the lock. */
  async release(): Promise<void> {
    try {
      await this.#journal.close();
    } finally {
      await this.lock.release();
    }
  }

  /** Tells whether the files still are as this store knew them. */
  async is_known(): Promise<boolean> {
    const { known } = this;
    const { layer, paths } = this.#context;
    return (
      known !== undefined &&
      (await stamp_snapshot(layer, paths, known.form))?.key === known.stamp.key &&
      same_stamp(await layer.stat(paths.journal), known.journal?.stamp)
    );
  }

  /** Returns the stored state, from memory where the files are as they were left. */
  async state(): Promise<SessionState | undefined> {
    if (await this.is_known()) {
      return this.known;
    }
    const state = (await this.read())?.state;
    const is_of_several_files = state?.journal !== undefined || state?.form.data_ending !== state?.form.head_ending;
    if (is_of_several_files) {
      await this.sync_names(); // their writer may have failed to
    }
    if (state?.journal?.relation !== "foreign") {
      return state;
    }
    const { layer, paths, lock } = this.#context;
    await lock.require_held(); // without it, another writer's new journal looks like that
    const { messages, metadata } = await read_foreign_history(layer, paths);
    await this.#create(recovered_id(this.id, state.journal.sum), messages, metadata);
    await this.#journal.keep_aside("conflict");
    await this.#journal.retire(undefined);
    return (await this.read())?.state;
  }

  /** Returns the stored state. What is damaged is moved aside. */
  async readable(): Promise<SessionState | undefined> {
    try {
      if (!(await this.is_known())) {
        await this.read_all(); // a change of messages reads no more than the head, and would not notice
      }
      return await this.state();
    } catch (error) {
      if (!has_code(error, "corrupt")) {
        throw error;
      }
      await this.set_aside();
      await this.sweep_links(undefined);
      return undefined;
    }
  }

  /** Returns the stored state. @throws {SessionError} `not_found`, and `conflict` at any other revision. */
  async at_revision(revision: string): Promise<SessionState> {
    const state = await this.state();
    if (!state) {
      throw session_not_found(this.id);
    }
    if (state.revision !== revision) {
      throw changed_meanwhile(this.id);
    }
    return state;
  }

  /** Gives a compaction under way up. */
  async give_up_compaction(): Promise<void> {
    await this.#compactor.give_up(this.id);
  }

  /** Reads what a change needs to know; first completes what a killed writer had decided. */
  async read(): Promise<SessionView | undefined> {
    const { layer, paths } = this.#context;
    await (await find_form(layer, paths))?.recover(this.#context);
    const view = await read_state(layer, paths);
    const { head, journal } = view?.state ?? {};
    const is_cut_short = head && journal?.relation === "continues" && journal.base !== head.store.generation;
    if (!is_cut_short || !view) {
      return view;
    }
    await this.sync_names(); // whoever put the snapshot there may have failed to
    const done = journal.records - view.records.length;
    const records = skip(done, records_in(layer, paths.journal, undefined, journal));
    await this.#journal.keep_odd_tail(view.state.journal);
    return { ...view, state: { ...view.state, journal: await this.#journal.rewrite(head, records) } };
  }

  /**
   * After a lock was taken over, or a change failed: what the lock's former holder, should it live after all, may still write to is no longer
   * the session's. Links that it left in folders of other parents are removed.
   */
  async take_over(): Promise<void> {
    await this.sync_names(); // no rename of ours is to reach the device before those that the former holder had yet to sync
    const view = await this.read();
    if (view?.state.journal?.relation === "continues") {
      await this.compact(view, view.state.metadata);
      await this.sync_names(); // the journal may hold what was never synced: it is not to come back
    }
  }

  /** Removes links to this session from the folders of all parents but this one. */
  async sweep_links(parent_id: string | undefined): Promise<void> {
    await sweep_links(this.#context, parent_id);
  }

  /** Reads and checks everything. */
  async read_all(): Promise<SessionView | undefined> {
    const { layer, paths } = this.#context;
    await (await find_form(layer, paths))?.recover(this.#context);
    return read_session(layer, paths);
  }

  /** The names in the directory are on the device as they are. */
  async sync_names(): Promise<void> {
    const { layer, policy, paths } = this.#context;
    await sync_directory(layer, paths.root, policy);
  }

  /** Tells damage from files that were never a session. Throws every other error again. */
  async damage_of(error: unknown): Promise<"damaged" | "never a session"> {
    const { layer, paths } = this.#context;
    const is_foreign = error instanceof NotASession && (await layer.stat(paths.journal)) === undefined;
    return is_foreign ? "never a session" : damaged_is_unknown(error);
  }

  /** Replaces everything by these messages, each a JSON text. */
  async rewrite(texts: readonly string[], given: MetadataPatch, old: SessionState | undefined): Promise<SessionState> {
    const metadata = merge_metadata(old?.metadata, given, { id: this.id, message_count: texts.length });
    return this.write(texts, metadata, old, this.#format);
  }

  /** Replaces everything by these messages, each a JSON text; a new session is laid out in this format. */
  async write(
    texts: readonly string[],
    metadata: SessionMetadata,
    known: SessionState | undefined,
    format: FileSessionFormat,
    { revision = new_token(16), succession }: Writing = {},
  ): Promise<SessionState> {
    const old = known && (await this.#without_spent_journal(known));
    const found = old?.form ?? (await find_form(this.#context.layer, this.#context.paths));
    if (!found) {
      await remove_followers(this.#context, [this.#context.paths.draft]);
    }
    const form = found ?? form_of(format);
    return this.#replace(old, form, content_of(texts), metadata, { revision, succession });
  }

  /** Rewrites the snapshot with what the journal adds, and with this metadata. The messages stay what they are. */
  async compact(view: SessionView, metadata: SessionMetadata): Promise<SessionState> {
    const { messages = [] } = view;
    if (view.state.journal?.relation === "foreign") {
      throw new ForeignWrite(this.id); // since it was last looked at: what is in the journal is to be rescued first
    }
    const state = await this.#without_spent_journal(view.state);
    const { form, head, revision } = state;
    if (!head) {
      const texts = messages.map((message) => JSON.stringify(message));
      return this.write(texts, metadata, state, form.format, { revision });
    }
    const content = content_with_journal(this.#context, { ...state, head });
    return this.#replace(state, form, content, metadata, { revision });
  }

  /**
   * Puts a compaction in place that was prepared from an earlier state, while the session went on: what the journal has got
   * since becomes the new one. `undefined`: the session is no longer the same, and the compaction is not put in place.
   */
  async finish_compaction(
    { snapshot, from }: PreparedCompaction,
    state: SessionState,
  ): Promise<SessionState | undefined> {
    const { form, stamp, journal, metadata, revision } = state;
    const is_same = stamp.key === from.stamp.key && journal?.stamp.inode === from.journal?.stamp.inode;
    if (!is_same || !journal || !from.journal || journal.records < from.journal.records) {
      await snapshot.discard();
      return undefined;
    }
    const tail = journal.records > from.journal.records ? { from: from.journal, to: journal } : undefined;
    return this.#commit(form, snapshot, { metadata, revision, old: state, tail });
  }

  /** Writes a snapshot that replaces this one, if another program does not do so meanwhile. */
  async #replace(
    old: SessionState | undefined,
    form: SessionState["form"],
    content: SnapshotContent,
    metadata: SessionMetadata,
    { revision, succession }: Writing & { revision: string },
  ): Promise<SessionState> {
    const noted = { ...succession_of(old, revision), ...succession };
    const prepared = await form.prepare(this.#context, content, metadata, noted).catch(async (error: unknown) => {
      await this.#require_unmoved(old);
      throw error;
    });
    return this.#commit(form, prepared, { metadata, revision, old });
  }

  /** @throws {ForeignWrite} where another program, which knows no locks, has replaced the snapshot since. */
  async #require_unmoved(old: SessionState | undefined): Promise<void> {
    const { layer, paths } = this.#context;
    if (old && (await stamp_snapshot(layer, paths, old.form))?.key !== old.stamp.key) {
      throw new ForeignWrite(paths.id);
    }
  }

  /** `tail`: what the journal holds beyond the new snapshot. */
  async #commit(
    form: SessionState["form"],
    prepared: PreparedSnapshot,
    {
      metadata,
      revision,
      old,
      tail,
    }: Pick<SessionState, "metadata" | "revision"> & {
      old: SessionState | undefined;
      tail?: { from: JournalPlace; to: JournalPlace } | undefined;
    },
  ): Promise<SessionState> {
    const { layer, paths, lock } = this.#context;
    const { head } = prepared;
    if (old && old.metadata.parent_id !== metadata.parent_id) {
      await this.sync_names(); // the lock is there after a power cut, too: whoever takes it over looks for old links
    }
    const stamp = await prepared.put_in_place(lock, async () => {
      await lock.require_held();
      await this.#require_unmoved(old);
    });
    await this.#journal.keep_odd_tail(old?.journal);
    const journal = tail && (await this.#journal.rewrite(head, records_in(layer, paths.journal, tail.from, tail.to)));
    if (!journal) {
      const is_retired = await this.#journal.retire(old?.journal?.stamp);
      if (is_retired && old?.journal?.relation !== "continues") {
        await this.sync_names(); // it may be damaged, and no later snapshot names the one that it continued
      }
    }
    await refresh_link(this.#context, form, old?.metadata.parent_id, metadata.parent_id);
    if (old && !old.head) {
      await this.sweep_links(metadata.parent_id); // another program may have changed the parent
    }
    return { form, stamp, head, journal, metadata, revision };
  }

  /**
   * Adds messages and metadata: to the journal, or where there is none and only metadata change, at once. A snapshot
   * of another writer, and one whose last compaction was cut short, is first made whole and ours; a journal that ends in a
   * damaged record is first done with.
   */
  async extend(texts: readonly string[], given: MetadataPatch, old: SessionState): Promise<SessionState> {
    const message_count = old.metadata.message_count + texts.length;
    const metadata = merge_metadata(old.metadata, given, { id: this.id, message_count });
    const length = texts.reduce((sum, text) => sum + text.length, 0);
    const state = this.#compactor.is_full(old, length) ? await this.#compact_now(old) : old;
    const { head, journal } = state;
    const has_journal = journal?.relation === "continues";
    const is_whole = head !== undefined && (!has_journal || journal.base === head.store.generation);
    const is_odd = has_journal && (await this.#journal.has_odd_tail(journal));
    if (is_whole && !is_odd && (texts.length > 0 || has_journal)) {
      return this.#append(state, texts, metadata);
    }
    const view = await this.read();
    if (!view) {
      throw session_not_found(this.#context.paths.id);
    }
    if (view.state.stamp.key !== state.stamp.key) {
      throw new ForeignWrite(this.id); // the metadata speak of another state
    }
    return texts.length === 0
      ? this.compact(view, metadata)
      : this.#append(await this.compact(view, view.state.metadata), texts, metadata);
  }

  /** Compacts a journal that must not grow, with what a compaction under way has done so far. */
  async #compact_now(old: SessionState): Promise<SessionState> {
    const compaction = await this.#compactor.prepared(this.id);
    const finished = compaction && (await this.finish_compaction(compaction, old));
    if (finished && !this.#compactor.is_full(finished, 0)) {
      return finished;
    }
    await this.give_up_compaction();
    const view = await this.read();
    return view ? this.compact(view, view.state.metadata) : old;
  }

  /** Removes a journal whose records are all in the snapshot. The next snapshot names no base of such a journal. */
  async #without_spent_journal(state: SessionState): Promise<SessionState> {
    if (!state.head || state.journal?.relation !== "spent") {
      return state;
    }
    await this.#journal.keep_odd_tail(state.journal);
    await this.#journal.retire(state.journal.stamp);
    await this.sync_names();
    return { ...state, journal: undefined };
  }

  async #append(known: SessionState, messages: readonly string[], metadata: SessionMetadata): Promise<SessionState> {
    const state = await this.#without_spent_journal(known);
    const head = state.head as SnapshotHead;
    const { journal } = state;
    if (state.metadata.parent_id !== metadata.parent_id) {
      await this.sync_names(); // as before a snapshot
    }
    const start = journal ? { bytes: Buffer.alloc(0), state: journal } : begin_journal(head);
    const revision = messages.length > 0 ? new_token(16) : state.revision;
    const record = encode_next(head, start.state, joined(messages), {
      at: state.metadata.message_count,
      count: messages.length,
      revision,
      metadata,
      durable: this.#context.policy.durable,
    });
    const stamp = journal
      ? await this.#journal.extend(journal, record.bytes)
      : await this.#journal.begin(Buffer.concat([start.bytes, record.bytes]));
    if (state.metadata.parent_id !== metadata.parent_id) {
      await refresh_link(this.#context, state.form, state.metadata.parent_id, metadata.parent_id);
    }
    return { ...state, metadata, revision, journal: { ...record.state, stamp } };
  }

  /** Removes the session. Returns whether there was one. */
  async remove(parent_id: string | undefined): Promise<boolean> {
    await remove_link(this.#context, parent_id);
    return remove_session(this.#context);
  }

  /** Takes what is readable of a damaged session, and moves its files out of the way. */
  async salvage(): Promise<{ salvage: Salvage; form: FileSessionFormat; set_aside: string[] }> {
    const { layer, paths } = this.#context;
    const form = await find_form(layer, paths);
    if (!form) {
      throw session_not_found(paths.id);
    }
    const salvage = await salvage_session(layer, paths, form);
    return { salvage, form: form.format, set_aside: await this.set_aside() };
  }

  async set_aside(): Promise<string[]> {
    return keep_session_aside(this.#context);
  }
}

/** Messages as they stand in one record. */
function joined(texts: readonly string[]): Buffer {
  const separator = Buffer.from(JSON_SEPARATOR);
  return Buffer.concat([...join_messages(texts)].flatMap((part, n) => (n === 0 ? [part] : [separator, part])));
}

async function* skip<T>(count: number, items: AsyncIterable<T>): AsyncGenerator<T> {
  let n = 0;
  for await (const item of items) {
    n += 1;
    if (n > count) {
      yield item;
    }
  }
}
