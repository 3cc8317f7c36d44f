import { SessionError } from "../../../errors.js";
import { remove_if_there, rename_if_there, sync_directory, with_file } from "./durable-files.js";
import type { FileStamp, OpenFile } from "./file-layer.js";
import type { SessionLock } from "../lock/session-lock.js";
import type { LockPlace } from "../session-paths.js";
import type { PrepareContext } from "../snapshots/snapshot-form.js";

/** Holds what a writer of one file needs. `paths` gives the file its temporary name. */
type FileContext = Omit<PrepareContext, "paths"> & { paths: Pick<LockPlace, "root" | "temporary"> };

/** A file that is written and synced under a temporary name: its content is certain before it replaces anything. */
export class PreparedFile {
  /** The stamp of the file as it was written. */
  readonly stamp: FileStamp;
  readonly #context: FileContext;

  private constructor(context: FileContext, stamp: FileStamp) {
    this.#context = context;
    this.stamp = stamp;
  }

  /** With the mode of the file that it is to replace. Where this fails, nothing is left of it. */
  static async write(
    context: FileContext,
    path: string,
    write: (file: OpenFile) => Promise<void>,
  ): Promise<PreparedFile> {
    const { layer, policy, paths, token } = context;
    const old = await layer.stat(path);
    if (old && old.kind !== "file") {
      throw new SessionError("storage", `${path} is not a regular file`, { path });
    }
    const file = await layer.create(paths.temporary(token), old?.mode ?? policy.file_mode);
    try {
      return await with_file(file, async () => {
        await write(file);
        const stamp = await file.stat(); // now: once it has its name, others may write to it
        await file.sync(); // whatever the policy: renamed before its content is there, it would replace it by nothing
        return new PreparedFile(context, stamp);
      });
    } catch (error) {
      await discard(context);
      throw error;
    }
  }

  /**
   * Gives it the name that it is meant for, in one step, and syncs the directory. What fails before the rename leaves
   * the old file as it was, and nothing of this one. `before_rename` throws if the file must not be renamed.
   * @throws {SessionError} `conflict` where the lock is not held any more, and what `before_rename` throws.
   */
  async put_in_place(lock: SessionLock, path: string, before_rename = () => lock.require_held()): Promise<void> {
    const { layer, policy, paths, token } = this.#context;
    const temporary = paths.temporary(lock.token);
    const was_removed = async () => {
      await lock.require_held(); // whoever takes a lock over removes what its holder was writing
      return new SessionError("storage", `${temporary} was removed by another process`, { path: temporary });
    };
    try {
      if (token !== lock.token && !(await rename_if_there(layer, paths.temporary(token), temporary))) {
        throw await was_removed();
      }
      await before_rename();
      lock.begin_writing();
      if (!(await rename_if_there(layer, temporary, path))) {
        throw await was_removed();
      }
      await sync_directory(layer, paths.root, policy);
    } catch (error) {
      await remove_if_there(layer, temporary).catch(() => undefined); // the first error says more
      await this.discard();
      throw error;
    }
  }

  /** Removes it, if it still has its temporary name. Another error is on its way where this is called. */
  async discard(): Promise<void> {
    await discard(this.#context);
  }
}

async function discard({ layer, paths, token }: FileContext): Promise<void> {
  await remove_if_there(layer, paths.temporary(token)).catch(() => undefined);
}
