import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";
import { temporary_directory } from "../../support/temporary-directory.js";

const LONG = 1 << 20;
const layer = NODE_FILE_LAYER;

const is_linux = process.platform === "linux";
const is_root = is_linux && process.getuid?.() === 0;

/** Files without a name in this directory that this process has open. */
function nameless(directory: string): number {
  return fs.readdirSync("/proc/self/fd").filter((fd) => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(directory) && target.endsWith(" (deleted)");
    } catch {
      return false; // the directory's own handle
    }
  }).length;
}

function write(path: string, size: number): string {
  fs.writeFileSync(path, Buffer.alloc(size, 1));
  return path;
}

let directory: string;
let remove: () => Promise<void>;
let is_mounted = false;

beforeEach(async () => {
  ({ path: directory, remove } = await temporary_directory());
});

afterEach(async () => {
  if (is_mounted) {
    execFileSync("umount", [directory]);
    is_mounted = false;
  }
  await remove();
});

test.runIf(is_linux)(
  "rule 30: a long file that is replaced or removed is freed a little later, a short one at once",
  async () => {
    const [a, b, c, short] = ["a", "b", "c", "short"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
      string,
    ];
    write(a, LONG);
    write(b, LONG);
    await layer.rename(b, a);
    await layer.unlink(write(c, LONG));
    await layer.unlink(write(short, 100));
    expect(nameless(directory)).toBe(2);
    while (nameless(directory) > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(fs.readdirSync(directory)).toEqual(["a"]);
  },
);

test.runIf(is_linux)("rule 30: of many no more than a few wait, and none once a store is flushed", async () => {
  for (let n = 0; n < 20; n += 1) {
    await layer.unlink(write(join(directory, "a"), LONG));
  }
  await new Promise((resolve) => setImmediate(resolve));
  expect(nameless(directory)).toBeLessThan(10);
  await new FileSessionStore(directory).flush();
  expect(nameless(directory)).toBe(0);
});

test.runIf(is_root)("rule 41: where the disk is full, what waits is freed before anything fails", async ({ skip }) => {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", directory], { stdio: "pipe" });
  } catch {
    skip("this root cannot mount anything");
  }
  is_mounted = true;
  await layer.unlink(write(join(directory, "a"), 2 * LONG - 4096));
  const file = await layer.create(join(directory, "b"), 0o600);
  let written = 0;
  for (const data = Buffer.alloc(2 * LONG - 4096, 2); written < data.length;) {
    written += await file.write(data.subarray(written), written);
  }
  await file.close();
  expect(fs.statSync(join(directory, "b")).size).toBe(2 * LONG - 4096);
});
