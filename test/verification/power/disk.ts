import { spawnSync, type ChildProcess } from "node:child_process";
import fs from "node:fs";
import process from "node:process";
import { join } from "node:path";
import { memory_place, new_directory } from "../../support/temporary-directory.js";
import { unmount_and_remove } from "../../support/run-directories.js";

const BYTES = 16 * 1024 * 1024;
const PIECE = Buffer.alloc(64 * 1024);
const EMPTY = Buffer.alloc(PIECE.length);

/** Why no file system can be mounted from a file here; `undefined`: it can. */
export function no_disks(): string | undefined {
  if (process.platform === "linux" && process.getuid?.() === 0 && !fs.existsSync("/dev/loop-control")) {
    return "needs loop devices, and there is no /dev/loop-control";
  }
  return no_mount("ext4", (disks) => disks.mount(disks.format(), "try", "commit=1"));
}

/** Why no small file system can be made in memory here; `undefined`: it can. */
export function no_small_disks(): string | undefined {
  return no_mount("tmpfs", (disks) => disks.mount_memory("try", 64 * 1024));
}

function no_mount(type: string, mount: (disks: Disks) => void): string | undefined {
  if (process.platform !== "linux") {
    return `mounts ${type}, which ${process.platform} does not have`;
  }
  if (process.getuid?.() !== 0) {
    return `needs root, to mount ${type}`;
  }
  try {
    using disks = new Disks();
    mount(disks);
    return undefined;
  } catch (error) {
    return `${type} cannot be mounted: ${(error as Error).message}`;
  }
}

/** File systems in files on a RAM disk: what such a file holds at a moment is what a device holds after a power cut. */
export class Disks {
  readonly directory: string;
  readonly #children = new Set<ChildProcess>();
  readonly #on_exit = () => this[Symbol.dispose]();
  readonly #on_signal = (signal: NodeJS.Signals) => {
    this[Symbol.dispose]();
    process.kill(process.pid, signal);
  };

  constructor() {
    this.directory = new_directory(memory_place()).path;
    process.once("exit", this.#on_exit).once("SIGINT", this.#on_signal).once("SIGTERM", this.#on_signal);
  }

  /** A process that uses a disk ends before that does. */
  adopt(child: ChildProcess): void {
    this.#children.add(child);
    child.once("close", () => this.#children.delete(child));
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** An empty disk. */
  format(): Buffer {
    const path = this.path("empty");
    fs.writeFileSync(path, "");
    fs.truncateSync(path, BYTES);
    run("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", path);
    const image = fs.readFileSync(path);
    fs.rmSync(path);
    return image;
  }

  /** Puts a disk where files can be reached; the loop device goes with the mount. Returns the directory. */
  mount(image: Buffer, name: string, options: string): string {
    const at = this.path(name);
    fs.mkdirSync(at);
    write_sparse(image, this.#image(name));
    run("mount", "-t", "ext4", "-o", `loop,${options}`, this.#image(name), at);
    return at;
  }

  /** A file system in memory that holds so many bytes and no more. */
  mount_memory(name: string, bytes: number): string {
    const at = this.path(name);
    fs.mkdirSync(at);
    run("mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", at);
    return at;
  }

  #image(name: string): string {
    return this.path(`${name}.img`);
  }

  /**
   * Reads the device as it is at one moment, without what waits in memory to be written. Two readings one after the other
   * that are the same are the state between them, although the system may write at any time.
   */
  copy(name: string): Buffer {
    for (;;) {
      const image = fs.readFileSync(this.#image(name));
      if (is_still(image, this.#image(name))) {
        return image;
      }
    }
  }

  unmount(name: string): void {
    run("umount", this.path(name));
    fs.rmdirSync(this.path(name));
    fs.rmSync(this.#image(name), { force: true });
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#on_exit).off("SIGINT", this.#on_signal).off("SIGTERM", this.#on_signal);
    this.#children.forEach((child) => child.kill("SIGKILL"));
    unmount_and_remove(this.directory);
  }
}

/** Leaves out what is empty. */
function write_sparse(image: Buffer, path: string): void {
  const file = fs.openSync(path, "w");
  fs.ftruncateSync(file, image.length);
  for (let at = 0; at < image.length; at += PIECE.length) {
    const piece = image.subarray(at, at + PIECE.length);
    if (!piece.equals(EMPTY)) {
      fs.writeSync(file, piece, 0, piece.length, at);
    }
  }
  fs.closeSync(file);
}

function is_still(image: Buffer, path: string): boolean {
  const file = fs.openSync(path, "r");
  let is_same = true;
  for (let at = 0; is_same && at < image.length; at += PIECE.length) {
    fs.readSync(file, PIECE, 0, PIECE.length, at);
    is_same = PIECE.equals(image.subarray(at, at + PIECE.length));
  }
  fs.closeSync(file);
  return is_same;
}

function run(command: string, ...args: string[]): void {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined || status !== 0) {
    throw new Error(`${command}: ${error?.message ?? stderr.trim()}`);
  }
}
