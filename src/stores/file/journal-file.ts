import {
  free_name,
  keep_aside,
  remove_if_there,
  rename_if_there,
  sync_directory,
  with_file,
} from "./fs/durable-files.js";
import { read_range, same_stamp, write_all, type FileStamp, type OpenFile } from "./fs/file-layer.js";
import { begin_journal, encode_again, is_closed_line, type JournalRecord } from "./format/journal.js";
import { PreparedFile } from "./fs/prepared-file.js";
import type { JournalState } from "./session-view.js";
import type { ChangeContext } from "./snapshots/snapshot-form.js";
import type { SnapshotHead } from "./format/snapshot-header.js";

/** The file of a session's journal, under the session's lock. */
export class JournalFile {
  readonly #context: ChangeContext;
  /** Open for the next record, and which file that is. */
  #open: { file: OpenFile; inode: bigint } | undefined;

  constructor(context: ChangeContext) {
    this.#context = context;
  }

  /** Begins a journal with these bytes. Nothing is left of the journal if this fails. */
  async begin(bytes: Buffer): Promise<FileStamp> {
    const { paths, lock } = this.#context;
    const file = await PreparedFile.write(this.#context, paths.journal, (file) => write_all(file, bytes, 0));
    try {
      await file.put_in_place(lock, paths.journal);
      return await this.#require_ours(file.stamp.inode);
    } catch (error) {
      await this.retire(file.stamp).catch(() => undefined); // the first error says more
      throw error;
    }
  }

  /** Replaces the journal by one that goes on from this snapshot, with these records. What fails leaves one of the two. */
  async rewrite(head: SnapshotHead, records: AsyncIterable<JournalRecord>): Promise<JournalState> {
    const { policy, paths, lock } = this.#context;
    let { bytes, state } = begin_journal(head);
    const file = await PreparedFile.write(this.#context, paths.journal, async (file) => {
      await write_all(file, bytes, 0);
      for await (const record of records) {
        const { end } = state;
        ({ bytes, state } = encode_again(head, state, record, policy.durable));
        await write_all(file, bytes, end);
      }
    });
    await this.close();
    await file.put_in_place(lock, paths.journal);
    return { ...state, stamp: file.stamp };
  }

  /**
   * Removes the journal, if it still is this one. It is moved away first and looked at then: a writer that has lost
   * its lock must not remove its successor's. Not synced: a journal that comes back after a power cut is done with.
   */
  async retire(stamp: FileStamp | undefined): Promise<boolean> {
    const { layer, paths, lock } = this.#context;
    const grave = paths.temporary(lock.token);
    await this.close();
    if (!(await layer.stat(paths.journal))) {
      return false;
    }
    await lock.require_held(); // a successor's is not even to be moved
    if (!(await rename_if_there(layer, paths.journal, grave))) {
      return false;
    }
    const is_ours = same_stamp(await layer.stat(grave), stamp) || (await lock.is_held());
    if (!is_ours) {
      await this.#put_back(grave);
      throw lock.broken();
    }
    await remove_if_there(layer, grave);
    return true;
  }

  /** A successor's journal that was moved away; where there is another one by now, it is kept beside it. */
  async #put_back(grave: string): Promise<void> {
    const { layer, paths } = this.#context;
    const is_free = (await layer.stat(paths.journal)) === undefined;
    await rename_if_there(layer, grave, is_free ? paths.journal : await free_name(layer, paths.journal, "conflict"));
  }

  /**
   * A write that failed is undone, as long as nobody else can have seen it: what a successor has appended behind it
   * stays. Another error is on its way.
   */
  async #take_back(file: OpenFile, end: number): Promise<void> {
    if (await this.#context.lock.is_held().catch(() => true)) {
      await file.truncate(end).catch(() => undefined); // the first error says more
    }
  }

  /** True if the bytes behind the last whole record look like a damaged record, and not like a write that was cut short. */
  async has_odd_tail({ end, stamp }: JournalState): Promise<boolean> {
    if (stamp.size <= end) {
      return false;
    }
    const { layer, paths } = this.#context;
    const file = await layer.open(paths.journal, "read");
    return with_file(file, async () => is_closed_line(await read_range(file, end, stamp.size - end)));
  }

  /** Keeps such a tail aside, before the journal is done with. */
  async keep_odd_tail(journal: JournalState | undefined): Promise<void> {
    if (journal && (await this.has_odd_tail(journal))) {
      await this.keep_aside("corrupt");
    }
  }

  async keep_aside(reason: "corrupt" | "conflict"): Promise<void> {
    const { layer, policy, paths, lock } = this.#context;
    await lock.require_held();
    await keep_aside(layer, paths.journal, reason);
    await sync_directory(layer, paths.root, policy);
  }

  /** `stamp`: of the journal as it is, under its name. The file stays open for the next record. */
  async extend({ end, stamp }: JournalState, bytes: Buffer): Promise<FileStamp> {
    const file = await this.#to_extend(stamp);
    if (stamp.size > end) {
      await file.truncate(end); // a torn tail; behind it, two records would weld into one
    }
    this.#context.lock.begin_writing();
    try {
      await write_all(file, bytes, end);
      if (this.#context.policy.durable) {
        await file.datasync();
      }
    } catch (error) {
      await this.#take_back(file, end);
      throw error;
    }
    return this.#require_ours(stamp.inode);
  }

  async #to_extend(stamp: FileStamp): Promise<OpenFile> {
    if (this.#open?.inode === stamp.inode) {
      return this.#open.file;
    }
    await this.close();
    const { layer, paths, lock } = this.#context;
    const file = await layer.open(paths.journal, "modify");
    this.#open = { file, inode: stamp.inode };
    if (!same_stamp(await file.stat(), stamp)) {
      throw lock.broken();
    }
    return file;
  }

  /** Closes what is open. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.file.close();
  }

  /** Before a record is acknowledged: the lock is still ours, and the journal still the file with this name. */
  async #require_ours(inode: bigint): Promise<FileStamp> {
    const { layer, paths, lock } = this.#context;
    await lock.require_held();
    const stamp = await layer.stat(paths.journal);
    if (stamp?.inode !== inode) {
      throw lock.broken();
    }
    return stamp;
  }
}
