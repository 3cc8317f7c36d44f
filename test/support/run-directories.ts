/**
 * A run of tests has temporary directories of its own: one on a device, one in memory. Whatever is in them at the end
 * was left behind by a test, and fails the run.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { memory_place } from "./temporary-directory.js";

const NAME = /^session-run-(\d+)-/;
/** Caches of tools. The next process of the same run reads them, and the end of the run removes them. */
const CACHE = /^(tsx-\d+|node-compile-cache)$/;
const MOUNTS = "/proc/self/mounts";

/** Makes the directories of a run. This process and its children use these directories from now on. */
export function begin_run(): { end: () => string[] } {
  const before = { TMPDIR: process.env["TMPDIR"], SESSION_TEST_MEMORY: process.env["SESSION_TEST_MEMORY"] };
  const [temporary, memory] = [tmpdir(), memory_place()].map((place) => {
    remove_those_of_killed_runs(place);
    const path = fs.mkdtempSync(join(place, `session-run-${process.pid}-`));
    fs.chmodSync(path, 0o755); // tests change their user
    return path;
  });
  Object.assign(process.env, { TMPDIR: temporary, SESSION_TEST_MEMORY: memory });

  /** Removes the directories. Returns what was left in them. */
  const end = (): string[] => {
    const left = [temporary, memory].flatMap((path = "") => {
      const names = fs.readdirSync(path).filter((name) => !CACHE.test(name));
      const found = names.map((name) => described(join(path, name)));
      unmount_and_remove(path);
      return found;
    });
    for (const [name, value] of Object.entries(before)) {
      delete process.env[name];
      Object.assign(process.env, value !== undefined && { [name]: value });
    }
    return left;
  };
  return { end };
}

/** Names a file, or a directory and some of what is in it. The names tell whose directory it was. */
function described(path: string): string {
  const inside = fs.statSync(path).isDirectory() ? fs.readdirSync(path, { recursive: true }) : [];
  return inside.length === 0 ? path : `${path} with ${inside.slice(0, 5).join(", ")}`;
}

/** Removes a directory in which file systems may be mounted. */
export function unmount_and_remove(directory: string): void {
  const mounts = fs.existsSync(MOUNTS) ? fs.readFileSync(MOUNTS, "utf8").split("\n") : [];
  for (const [, at = ""] of mounts.map((line) => line.split(" "))) {
    if (at.startsWith(`${directory}/`)) {
      const { stderr, status } = spawnSync("umount", ["--lazy", at], { encoding: "utf8" });
      if (status !== 0) {
        throw new Error(`umount ${at}: ${stderr}`);
      }
    }
  }
  fs.rmSync(directory, { recursive: true, force: true });
}

function remove_those_of_killed_runs(place: string): void {
  for (const name of fs.readdirSync(place)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !is_alive(Number(pid))) {
      unmount_and_remove(join(place, name));
    }
  }
}

function is_alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
