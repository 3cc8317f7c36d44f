import fs from "node:fs";
import { join, relative, sep } from "node:path";
import type { FileLayer } from "../../../src/stores/file/fs/file-layer.js";
import { NODE_FILE_LAYER } from "../../../src/stores/file/fs/node-file-layer.js";

type Fold = (name: string) => string;

export const ignoring_case: Fold = (name) => name.toLowerCase();
export const ignoring_forms: Fold = (name) => name.normalize("NFC");

/**
 * A file system that takes two names below a directory for the same where `fold` makes them equal. A new file gets the name
 * that `stored` makes of its name. A file that is renamed over another one keeps its own name, as on exFAT.
 */
export function folding_layer(base: string, fold: Fold, stored: Fold = (name) => name): FileLayer {
  const true_path = (path: string): string => {
    const names = relative(base, path).split(sep);
    if (names[0] === "" || names[0] === "..") {
      return path;
    }
    return names.reduce((directory, name) => {
      const there = fs.existsSync(directory) ? fs.readdirSync(directory) : [];
      const same = there.includes(name) ? name : there.find((other) => fold(other) === fold(name));
      return join(directory, same ?? stored(name));
    }, base);
  };
  const layer = NODE_FILE_LAYER;
  return {
    open: (path, how) => layer.open(true_path(path), how),
    create: (path, mode) => layer.create(true_path(path), mode),
    stat: (path) => layer.stat(true_path(path)),
    real_path: (path) => layer.real_path(true_path(path)),
    names: (path) => layer.names(true_path(path)),
    make_directory: (path, mode) => layer.make_directory(true_path(path), mode),
    remove_directory: (path) => layer.remove_directory(true_path(path)),
    link: (existing, path) => layer.link(true_path(existing), true_path(path)),
    unlink: (path) => layer.unlink(true_path(path)),
    symlink: (target, path) => layer.symlink(target, true_path(path)),
    readlink: (path) => layer.readlink(true_path(path)),
    sync_directory: (path) => layer.sync_directory(true_path(path)),
    async rename(from, to) {
      const replaced = true_path(to);
      await layer.rename(true_path(from), replaced);
      const name = join(replaced, "..", stored(to.slice(to.lastIndexOf(sep) + 1)));
      await (name === replaced ? undefined : layer.rename(replaced, name));
    },
  };
}
