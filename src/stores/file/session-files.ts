import type { SessionMetadata } from "../../types.js";
import { remove_if_there, replace_file, sync_directory, with_file, type FilePolicy } from "./durable-files.js";
import { write_all, type FileLayer, type FileStamp, type OpenFile } from "./file-layer.js";
import { ForkLinks } from "./fork-links.js";
import { encode_header, encode_record, make_patch } from "./journal.js";
import type { SessionLock } from "./session-lock.js";
import type { SessionPaths } from "./session-paths.js";
import { read_state, same_stamp } from "./session-reader.js";
import type { JournalState, SessionState, SessionView } from "./session-view.js";
import type { SnapshotHead } from "./snapshot.js";
import { write_folded, write_snapshot } from "./snapshot-writer.js";
import { new_token } from "./token.js";

/** The files of one session under their lock: every step that changes them. */
export class SessionFiles {
  readonly #layer: FileLayer;
  readonly #policy: FilePolicy;
  readonly #paths: SessionPaths;
  readonly #lock: SessionLock;
  readonly #links: ForkLinks;

  constructor(layer: FileLayer, policy: FilePolicy, paths: SessionPaths, lock: SessionLock) {
    this.#layer = layer;
    this.#policy = policy;
    this.#paths = paths;
    this.#lock = lock;
    this.#links = new ForkLinks(layer, policy, paths, lock.token);
  }

  /** Whether the files still are as this state says. */
  async is_current(state: SessionState): Promise<boolean> {
    const snapshot = await this.#layer.stat(this.#paths.snapshot);
    const journal = await this.#layer.stat(this.#paths.journal);
    const known = state.journal?.stamp;
    return same_stamp(snapshot, state.stamp) && journal?.inode === known?.inode && journal?.size === known?.size;
  }

  async read(): Promise<SessionView | undefined> {
    return read_state(this.#layer, this.#paths);
  }

  /** Replaces everything by these messages, each a JSON text. */
  async write(
    messages: readonly string[],
    metadata: SessionMetadata,
    old: SessionState | undefined,
    revision = new_token(16),
  ): Promise<SessionState> {
    return this.#commit(metadata, old, (file) => write_snapshot(file, messages, metadata, { revision, replaces: old }));
  }

  /** Rewrites the snapshot with what the journal adds, and with this metadata. The messages stay what they are. */
  async fold(view: SessionView, metadata: SessionMetadata): Promise<SessionState> {
    const { state, messages = [] } = view;
    if (state.head === undefined) {
      const texts = messages.map((message) => JSON.stringify(message));
      return this.write(texts, metadata, state, state.revision);
    }
    return this.#commit(metadata, state, (file) => write_folded(this.#layer, this.#paths, file, view, metadata));
  }

  async #commit(
    metadata: SessionMetadata,
    old: SessionState | undefined,
    write: (file: OpenFile) => Promise<SnapshotHead>,
  ): Promise<SessionState> {
    const { snapshot, journal, root } = this.#paths;
    if (old?.journal?.relation === "foreign") {
      await this.#layer.rename(journal, this.#paths.aside(journal, "conflict"));
    }
    let head: SnapshotHead | undefined;
    let stamp: FileStamp | undefined;
    await replace_file(this.#layer, snapshot, {
      temporary: this.#paths.temporary(this.#lock.token),
      policy: this.#policy,
      write: async (file) => {
        head = await write(file);
        stamp = await file.stat(); // now: once it has its name, others may write to it
      },
      before_rename: () => this.#lock.require_held(),
    });
    if (await remove_if_there(this.#layer, journal)) {
      await sync_directory(this.#layer, root, this.#policy);
    }
    await this.#links.refresh(old?.metadata.parent_id, metadata.parent_id);
    const { store } = head as unknown as SnapshotHead;
    return { stamp: stamp as unknown as FileStamp, head, journal: undefined, metadata, revision: store.revision };
  }

  /** Adds a record of these messages to the journal; the snapshot is ours, and so is the journal, if there is one. */
  async append(state: SessionState, messages: readonly string[], metadata: SessionMetadata): Promise<SessionState> {
    const head = state.head as SnapshotHead;
    const base = head.store.generation;
    const journal = state.journal?.relation === "continues" ? state.journal : undefined;
    if (journal === undefined) {
      await remove_if_there(this.#layer, this.#paths.journal); // spent
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
      ...(!this.#policy.durable && { durable: false }),
    });
    const stamp = journal
      ? await this.#extend_journal(journal, record.bytes)
      : await this.#begin_journal(Buffer.concat([first?.bytes ?? Buffer.alloc(0), record.bytes]));
    await this.#links.move(state.metadata.parent_id, metadata.parent_id);
    return {
      ...state,
      metadata,
      revision,
      journal: { stamp, base, sum: record.sum, end: stamp.size, records: n, relation: "continues" },
    };
  }

  async #begin_journal(bytes: Buffer): Promise<FileStamp> {
    const { journal, root } = this.#paths;
    const file = await this.#layer.create(journal, this.#policy.file_mode);
    try {
      return await with_file(file, async () => {
        await write_all(file, bytes, 0);
        if (this.#policy.durable) {
          await file.sync();
        }
        await sync_directory(this.#layer, root, this.#policy);
        return this.#require_ours(file);
      });
    } catch (error) {
      await remove_if_there(this.#layer, journal).catch(() => undefined); // the first error says more
      throw error;
    }
  }

  async #extend_journal({ end, stamp }: JournalState, bytes: Buffer): Promise<FileStamp> {
    return with_file(await this.#layer.open(this.#paths.journal, "modify"), async (file) => {
      if (stamp.size > end) {
        await file.truncate(end); // a torn tail; behind it, two records would weld into one
      }
      try {
        await write_all(file, bytes, end);
        if (this.#policy.durable) {
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
    const stamp = await file.stat();
    await this.#lock.require_held();
    if ((await this.#layer.stat(this.#paths.journal))?.inode !== stamp.inode) {
      throw this.#lock.broken();
    }
    return stamp;
  }

  /** Removes the session. Returns whether there was one. */
  async remove(parent_id: string | undefined): Promise<boolean> {
    const { snapshot, journal, root } = this.#paths;
    await this.#links.remove(parent_id);
    const existed = await remove_if_there(this.#layer, snapshot);
    const left = await remove_if_there(this.#layer, journal);
    if (existed || left) {
      await sync_directory(this.#layer, root, this.#policy);
    }
    return existed;
  }

  /** Moves what cannot be read out of the way. */
  async set_aside(): Promise<void> {
    const { snapshot, journal } = this.#paths;
    for (const path of [journal, snapshot]) {
      if ((await this.#layer.stat(path)) !== undefined) {
        await this.#layer.rename(path, this.#paths.aside(path, "corrupt"));
      }
    }
  }
}
