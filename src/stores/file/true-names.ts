import { join } from "node:path";
import { SessionError } from "../../errors.js";
import { succeeds, type FileLayer } from "./fs/file-layer.js";
import { find_form } from "./snapshots/forms.js";
import { SessionPaths } from "./session-paths.js";
import type { SessionState } from "./session-view.js";
import { stamp_snapshot } from "./snapshots/snapshot-form.js";

const ATTEMPTS = 3;
/** The coarsest dates that files have. */
const SETTLED_AFTER_MS = 2_000;

/** The ending of every session's first file. */
const ENDING = ".json";

type Known = Pick<SessionState, "stamp"> | undefined;
type Found = Pick<SessionState, "form" | "stamp">;

/** The error of an id whose file has the name of another id. */
export class AlikeId extends SessionError {
  constructor({ id, root }: SessionPaths, other: string) {
    const message = `session ${id} cannot be there beside session ${other}: the file system takes one name for the other`;
    super("conflict", message, { session_id: id, path: root });
  }
}

/**
 * Keeps ids apart that the file system takes for one.
 *
 * Hazard: where case is ignored, "work" finds the files of "Work" and would overwrite them; where normal forms are, so do two
 * spellings of "é". The names in the directory tell which of them is there.
 *
 * Costs two looks at files, once a store, where the file system tells names apart; an id that has two normal forms costs
 * as much each time. Elsewhere the directory is read before a session is touched whose files this store has not written,
 * and that have changed since the directory was read.
 */
export class TrueNames {
  readonly #layer: FileLayer;
  /** `undefined`: nobody has looked yet. */
  #ignores_case: boolean | undefined;
  #names = new Set<string>();
  #read_at = 0;

  constructor(layer: FileLayer) {
    this.#layer = layer;
  }

  /** Looks at the case of names with a session of a directory, if there is one. */
  async learn(root: string, names: readonly string[]): Promise<void> {
    const name = names.find((found) => found.endsWith(ENDING));
    if (name !== undefined) {
      const path = join(root, name);
      await this.#learn(path, async () => this.#is_there(path));
    }
  }

  /** `is_unmoved`: the file was there all the time. */
  async #learn(path: string, is_unmoved: () => Promise<boolean>): Promise<void> {
    const other = path.slice(0, -ENDING.length) + ENDING.toUpperCase();
    const ignores_case = await this.#is_there(other);
    if (ignores_case || (await is_unmoved())) {
      this.#ignores_case = ignores_case;
    }
  }

  async #is_there(path: string): Promise<boolean> {
    let found: unknown;
    await succeeds(["ENAMETOOLONG"], async () => (found = await this.#layer.stat(path))); // another normal form may be longer
    return found !== undefined;
  }

  /**
   * Compares the name of a session's file with its id. The lock, if it is held, stands for the file of a new session.
   * @param known - the files as this store wrote them.
   * @param found - the files as they were read.
   * @throws {AlikeId}
   */
  async require_own(paths: SessionPaths, known: Known, is_locked: boolean, found?: Found): Promise<void> {
    const other = other_form(paths.id);
    if (this.#ignores_case === false && other === undefined) {
      return;
    }
    const layer = this.#layer;
    const form = found?.form ?? (await find_form(layer, paths));
    const ending = form?.head_ending ?? (is_locked ? ".lock" : undefined);
    if (ending === undefined) {
      return;
    }
    if (form && this.#ignores_case === undefined) {
      const { key } = found?.stamp ?? (await stamp_snapshot(layer, paths, form)) ?? {};
      const is_unmoved = async () => key !== undefined && (await stamp_snapshot(layer, paths, form))?.key === key;
      await this.#learn(paths.file(form.head_ending), is_unmoved);
    }
    const ignores_case = form !== undefined && this.#ignores_case !== false;
    if (
      !ignores_case &&
      (other === undefined || !(await this.#is_there(new SessionPaths(paths.root, other).file(ending))))
    ) {
      return;
    }
    const is_known =
      form !== undefined && known !== undefined && (await stamp_snapshot(layer, paths, form))?.key === known.stamp.key;
    if (!is_known) {
      await this.#require_name(paths, ending);
    }
  }

  async #require_name(paths: SessionPaths, ending: string): Promise<void> {
    const name = paths.id + ending;
    const stamp = await this.#layer.stat(paths.file(ending));
    if (!stamp || (Number(stamp.mtime_ns / 1_000_000n) < this.#read_at - SETTLED_AFTER_MS && this.#names.has(name))) {
      return;
    }
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const read_at = Date.now();
      const names = await this.#layer.names(paths.root);
      this.#names = new Set(names);
      this.#read_at = read_at;
      if (this.#names.has(name)) {
        return;
      }
      const alike = names.find((found) => folded(found) === folded(name));
      if (alike !== undefined) {
        throw new AlikeId(paths, alike.slice(0, -ending.length));
      }
    } // a file that is replaced may be missing among the names for a moment
    if (await this.#is_there(paths.file(ending))) {
      throw new AlikeId(paths, "of another name");
    }
  }
}

function folded(name: string): string {
  return name.normalize().toLowerCase();
}

/** The other normal form of an id, if there is one. */
function other_form(id: string): string | undefined {
  return [id.normalize("NFC"), id.normalize("NFD")].find((form) => form !== id);
}
