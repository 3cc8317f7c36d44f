import fs from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { quick_directory } from "../helpers.js";

/** Returns the sizes of the files in a directory that have no name any more, and that this process has open. */
function nameless(directory: string): number[] {
  return fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    const target = readlink(`/proc/self/fd/${fd}`);
    const is_ours = target.startsWith(directory) && target.endsWith(" (deleted)");
    return is_ours ? [fs.fstatSync(Number(fd)).size] : [];
  });
}

/** Returns nothing for the handle with which the directory of handles was read. */
function readlink(path: string): string {
  return fs.lstatSync(path, { throwIfNoEntry: false }) ? fs.readlinkSync(path) : "";
}

test.runIf(process.platform === "linux")(
  "rule 30: a long file that is replaced or removed is freed behind the change, a short one at once",
  async () => {
    const directory = quick_directory();
    const write = (name: string, size: number) => {
      fs.writeFileSync(join(directory, name), Buffer.alloc(size, 1));
      return join(directory, name);
    };
    await NODE_FILE_LAYER.rename(write("new", 10), write("replaced", 2_000_000));
    await NODE_FILE_LAYER.unlink(write("removed", 3_000_000));
    await NODE_FILE_LAYER.unlink(write("short", 1_000_000));
    expect(nameless(directory).sort()).toEqual([2_000_000, 3_000_000]);
    await vi.waitUntil(() => nameless(directory).length === 0);
    expect(fs.readdirSync(directory)).toEqual(["replaced"]);
  },
);
