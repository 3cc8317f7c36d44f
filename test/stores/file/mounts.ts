import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { new_directory } from "../../support/temporary-directory.js";

const SEARCHED = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

function run(command: string, ...args: string[]): string {
  const env = { ...process.env, PATH: SEARCHED };
  return execFileSync(command, args, { stdio: ["ignore", "pipe", "inherit"], env, encoding: "utf8" }).trim();
}

/** @throws if a program that these mounts need is not installed. */
export function require_programs(): void {
  for (const name of ["losetup", "mkfs.exfat", "mount.exfat-fuse", "bindfs", "fusermount3"]) {
    if (!SEARCHED.split(":").some((directory) => fs.existsSync(join(directory, name)))) {
      throw new Error(`${name} is not installed`);
    }
  }
}

/** A mounted file system, and the end of it. */
export interface Mount {
  /** A directory in it that does not exist yet. */
  root: string;
  /** The same directory, beside the mount, if there is another view of it. */
  source?: string;
  unmount: () => void;
}

/** Mounts a new exFAT file system. */
export function exfat(): Mount {
  let device = "";
  const { unmount, ...mounted } = mount((directory) => {
    const image = join(directory, "image");
    fs.writeFileSync(image, "");
    fs.truncateSync(image, 64 * 1024 * 1024);
    run("mkfs.exfat", image);
    device = run("losetup", "--find", "--show", image);
    try {
      run("mount.exfat-fuse", device, join(directory, "mounted"));
    } catch (error) {
      run("losetup", "--detach", device);
      throw error;
    }
  });
  return {
    ...mounted,
    unmount: () => {
      unmount();
      run("losetup", "--detach", device);
    },
  };
}

/** Mounts another view of a new directory. */
export function bound(...options: string[]): Mount {
  return mount((directory) => {
    fs.mkdirSync(join(directory, "source"));
    run("bindfs", ...options, join(directory, "source"), join(directory, "mounted"));
  });
}

/**
 * Mounts a directory of its own over a new one, as containers do: what is in `source` is read from below, and what is
 * written goes elsewhere, or nowhere.
 */
export function overlaid(how: "writable" | "read-only"): Mount {
  return mount(
    (directory) => {
      const [source, above, work] = ["source", "above", "work"].map((name) => join(directory, name));
      [source, above, work].forEach((path = "") => fs.mkdirSync(path));
      const layers = {
        writable: `lowerdir=${source},upperdir=${above},workdir=${work}`,
        "read-only": `lowerdir=${above}:${source}`,
      };
      run("mount", "-t", "overlay", "overlay", "-o", layers[how], join(directory, "mounted"));
    },
    (mounted) => run("umount", mounted),
  );
}

function mount(
  begin: (directory: string) => void,
  end: (mounted: string) => unknown = (mounted) => run("fusermount3", "-u", mounted),
): Mount {
  const { path, remove } = new_directory();
  const mounted = join(path, "mounted");
  fs.mkdirSync(mounted);
  try {
    begin(path);
  } catch (error) {
    remove();
    throw error;
  }
  const unmount = () => {
    end(mounted);
    remove();
  };
  return { root: join(mounted, "sessions"), source: join(path, "source", "sessions"), unmount };
}
