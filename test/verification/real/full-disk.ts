import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore, type FileSessionFormat, type StoredSession } from "@simulacra-ai/session";
import { is_errno, type FileLayer, type OpenFile } from "../../../src/stores/file/fs/file-layer.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { HookedLayer } from "../../stores/file/hooked-layer.js";
import type { Disks } from "../power/disk.js";
import { Account, problem_of_next_writer } from "./account.js";

const DISK_BYTES = 2 * 1024 * 1024;
export const PAGE_BYTES = 4096;

/** What is done while there is hardly any room. */
export const WORK = {
  "a flush": (store: FileSessionStore) => store.flush(),
  "a compaction behind an append": (store: FileSessionStore, account: Account) => append(store, account, "new", 2_000),
  "a save": (store: FileSessionStore, account: Account) =>
    account.note("s", ["saved".padEnd(100_000, "x")], "replace", (messages) => store.save("s", messages)),
};

async function append(store: FileSessionStore, account: Account, text: string, length = 0): Promise<void> {
  const { revision } = (await store.load("s")) as StoredSession & { revision: string };
  await account.note("s", [`${text} `.padEnd(length, "x")], "append", (messages) =>
    store.append("s", messages, { revision }),
  );
}

/** What goes wrong where so many bytes are free. */
export async function fill_up(
  disks: Disks,
  work: keyof typeof WORK,
  format: FileSessionFormat,
  free: number,
): Promise<{ losses: string[]; has_run_out: boolean }> {
  const at = disks.mount_memory("small", DISK_BYTES);
  try {
    const root = join(at, "sessions");
    const layer_below = new NoticingLayer();
    const layer = new HookedLayer(undefined, { inner: layer_below.layer });
    const store = new FileSessionStore(root, { format }, layer);
    const account = new Account();
    await account.note("s", ["one"], "replace", (messages) => store.save("s", messages));
    await append(store, account, "two", 40_000);
    await append(store, account, "three", 40_000);
    fill(at, free);
    layer.forget();
    await WORK[work](store, account).catch((error: unknown) => account.failed(error, ["ENOSPC"]));
    await idle(layer);
    const losses = [...(await account.losses(new FileSessionStore(root))), ...account.wrong];
    fs.rmSync(join(at, "filler"));
    losses.push(...(await problem_of_next_writer(root, store, format)));
    losses.push(...(await account.losses(new FileSessionStore(root))));
    if (layer.opened !== layer.closed) {
      losses.push(`${layer.opened - layer.closed} files are still open`);
    }
    return { losses, has_run_out: layer_below.has_run_out };
  } finally {
    disks.unmount("small");
  }
}

/** The system's own files; notices when the disk is full, whoever is told. */
class NoticingLayer {
  has_run_out = false;
  readonly layer: FileLayer = {
    ...NODE_FILE_LAYER,
    create: async (path, mode) => this.#file(await this.#notice(NODE_FILE_LAYER.create(path, mode))),
    open: async (path, how) => this.#file(await NODE_FILE_LAYER.open(path, how)),
  };

  #file(file: OpenFile): OpenFile {
    return {
      stat: () => file.stat(),
      read: (buffer, position) => file.read(buffer, position),
      write: (data, position) => this.#notice(file.write(data, position)),
      truncate: (size) => file.truncate(size),
      sync: () => file.sync(),
      datasync: () => file.datasync(),
      close: () => file.close(),
    };
  }

  async #notice<T>(result: Promise<T>): Promise<T> {
    try {
      return await result;
    } catch (error) {
      this.has_run_out ||= is_errno(error, "ENOSPC");
      throw error;
    }
  }
}

/** Leaves so many bytes. */
function fill(at: string, free: number): void {
  const { bavail, bsize } = fs.statfsSync(at);
  fs.writeFileSync(join(at, "filler"), Buffer.alloc(Math.max(0, bavail * bsize - free)));
}

/** Until nothing goes on in the background. */
async function idle(layer: HookedLayer): Promise<void> {
  for (let [count, quiet] = [-1, 0]; quiet < 3;) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    quiet = layer.operations.length === count ? quiet + 1 : 0;
    count = layer.operations.length;
  }
}
