import { existsSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { invalid_input, SessionError } from "../../errors.js";
import type { FileLayer } from "./fs/file-layer.js";

const MAX_ID_BYTES = 200;
/** Names that Windows does not have. */
const WINDOWS = /[<>:"|?*]|[. ]$|^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\.|$)/i;
// eslint-disable-next-line no-control-regex -- control characters are what it is about
const FORBIDDEN = /[/\\\u0000-\u001f\u007f-\u009f]/;

export const JOURNAL_ENDING = ".journal";
export const DRAFT_ENDING = ".draft";
export const DRAFT_LOCK_ENDING = ".draft-lock";
const TEMPORARY_ENDING = ".tmp";
export const FORKS_ENDING = "-forks";

/** Says why an id cannot be the name of a session's files. Returns `undefined` if it can. */
function fault_of(id: unknown): string | undefined {
  if (typeof id !== "string") {
    return "it is not a string";
  }
  if (id === "" || Buffer.byteLength(id) > MAX_ID_BYTES) {
    return `it must have 1 to ${MAX_ID_BYTES} bytes`;
  }
  if (FORBIDDEN.test(id)) {
    return "it contains a separator or a control character";
  }
  if (id.startsWith(".") || /\.meta$/i.test(id)) {
    return 'it begins with a dot, or ends with ".meta"';
  }
  if (process.platform === "win32" && WINDOWS.test(id)) {
    return "Windows has no such names";
  }
  return /\p{Surrogate}/u.test(id) ? "it holds half a surrogate pair" : undefined;
}

export function is_valid_id(id: unknown): id is string {
  return fault_of(id) === undefined;
}

/** @throws {SessionError} `invalid_id`. */
export function require_valid_id(id: unknown, what = "session id"): asserts id is string {
  const fault = fault_of(id);
  if (fault !== undefined) {
    throw new SessionError("invalid_id", `${what} ${JSON.stringify(id)}: ${fault}`);
  }
}

/**
 * Returns the path of a directory that an application names.
 * @throws {SessionError} `invalid_input` if that is neither a path nor a `file:` URL, or begins with a `~` that is no
 *   directory.
 */
export function resolve_root(root: unknown): string {
  let cause: unknown;
  try {
    const path = /^file:/i.test(String(root)) ? fileURLToPath(root as string) : root;
    if (
      typeof path === "string" &&
      path !== "" &&
      !path.includes("\0") &&
      (!/^~([/\\]|$)/.test(path) || existsSync(path))
    ) {
      return resolve(path);
    }
  } catch (error) {
    cause = error;
  }
  const message = `a FileSessionStore needs a path or a file: URL, not ${String(root)} ("~" is not replaced)`;
  throw invalid_input(message, { cause });
}

/** Takes the name of a temporary file apart. The token of a draft's ends in `.draft`. */
export function parse_temporary(name: string): { id?: string | undefined; token?: string | undefined } {
  const [, id, token] = /^(.+)\.([0-9a-f]{12}(?:\.draft)?)\.tmp$/.exec(name) ?? [];
  return { id, token };
}

/** Where a lock is, and names that only its holder uses. */
export interface LockPlace {
  readonly id: string;
  readonly root: string;
  readonly lock: string;
  temporary(token: string): string;
}

/** Where the files of a session are. */
export class SessionPaths implements LockPlace {
  readonly root: string;
  readonly id: string;
  readonly #stem: string;

  /** `root` is a resolved path. */
  constructor(root: string, id: string) {
    this.root = root;
    this.id = id;
    this.#stem = (root.endsWith(sep) ? root : root + sep) + id;
  }

  get journal(): string {
    return this.file(JOURNAL_ENDING);
  }

  get lock(): string {
    return this.file(".lock");
  }

  get draft(): string {
    return this.file(DRAFT_ENDING);
  }

  /** The lock under which a draft is changed; no session's own temporary file is named like its holder's. */
  get draft_lock(): LockPlace {
    const { id, root } = this;
    const temporary = (token: string) => this.temporary(token + DRAFT_ENDING);
    return { id, root, lock: this.file(DRAFT_LOCK_ENDING), temporary };
  }

  file(ending: string): string {
    return this.#stem + ending;
  }

  /** A name that only the holder of the lock with this token uses. */
  temporary(token: string): string {
    return this.file(`.${token}${TEMPORARY_ENDING}`);
  }

  forks_directory(parent_id: string): string {
    return join(this.root, parent_id + FORKS_ENDING);
  }

  fork_link(parent_id: string, ending: string): string {
    return join(this.forks_directory(parent_id), this.id + ending);
  }
}

/** Returns the tokens in the names of a session's temporary files. Costs a look at the directory. */
export async function temporary_files(layer: FileLayer, { id, root }: SessionPaths): Promise<string[]> {
  const found = (await layer.names(root)).map(parse_temporary);
  return found.flatMap(({ id: of, token }) => (of === id && token !== undefined ? [token] : []));
}
