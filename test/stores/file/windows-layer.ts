import { basename } from "node:path";
import { patiently } from "../../../src/stores/file/fs/patience.js";
import type { FileStamp, OpenFile } from "../../../src/stores/file/fs/file-layer.js";
import { folding_layer, ignoring_case } from "./folding-layer.js";
import { HookedLayer, system_error } from "./hooked-layer.js";

const NO_NAME = /[<>:"|?*]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * A file system that answers as Windows does: no symbolic links, no syncs of directories, no modes; case is ignored; some
 * names are refused; and a file that is open is neither replaced nor removed. Asks again for a while, as the real layer does.
 */
export class WindowsLayer extends HookedLayer {
  /** How often each file is open, by its inode. */
  readonly #open_files = new Map<bigint, number>();

  constructor(base: string) {
    super(
      ({ name, path }) => {
        if (name === "symlink" || name === "sync_directory") {
          throw system_error("EPERM");
        }
        if ((name === "create" || name === "make_directory" || name === "rename") && NO_NAME.test(basename(path))) {
          throw Object.assign(system_error("ENOENT"), { path });
        }
      },
      { inner: folding_layer(base, ignoring_case), syncs: true },
    );
  }

  async #note(file: OpenFile): Promise<OpenFile> {
    const { inode } = await file.stat();
    const count = (change: number) => void this.#open_files.set(inode, (this.#open_files.get(inode) ?? 0) + change);
    count(1);
    return {
      stat: async () => without_mode(await file.stat()),
      read: (buffer, position) => file.read(buffer, position),
      write: (data, position) => file.write(data, position),
      truncate: (size) => file.truncate(size),
      sync: () => file.sync(),
      datasync: () => file.datasync(),
      close: async () => {
        count(-1);
        await file.close();
      },
    };
  }

  async #require_closed(path: string): Promise<void> {
    const { inode = -1n } = (await super.stat(path)) ?? {};
    if ((this.#open_files.get(inode) ?? 0) > 0) {
      throw system_error("EPERM");
    }
  }

  override async open(path: string, how: "read" | "modify"): Promise<OpenFile> {
    return this.#note(await super.open(path, how));
  }

  override async create(path: string): Promise<OpenFile> {
    return this.#note(await super.create(path, 0o666));
  }

  override async stat(path: string): Promise<FileStamp | undefined> {
    const stamp = await super.stat(path);
    return stamp && without_mode(stamp);
  }

  override async make_directory(path: string): Promise<void> {
    await super.make_directory(path, 0o777);
  }

  override async rename(from: string, to: string): Promise<void> {
    await patiently(async () => {
      await this.#require_closed(to);
      await super.rename(from, to);
    }, true);
  }

  override async unlink(path: string): Promise<void> {
    await patiently(async () => {
      await this.#require_closed(path);
      await super.unlink(path);
    }, true);
  }
}

function without_mode(stamp: FileStamp): FileStamp {
  return { ...stamp, mode: stamp.kind === "directory" ? 0o777 : 0o666 };
}
