import { join, sep } from "node:path";
import { SessionError } from "../../errors.js";

const MAX_ID_BYTES = 200;
const WINDOWS_RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\.|$)/i;
// eslint-disable-next-line no-control-regex -- control characters are what it is about
const FORBIDDEN = /[/\\\u0000-\u001f\u007f-\u009f]/;

export const JOURNAL_ENDING = ".journal";
export const DRAFT_ENDING = ".draft";
export const DRAFT_LOCK_ENDING = ".draft-lock";
export const TEMPORARY_ENDING = ".tmp";
export const FORKS_ENDING = "-forks";

/** Why an id cannot be the name of a file on every system, or `undefined` where it can. */
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
  if (id.startsWith(".") || /[. ]$/.test(id)) {
    return "it begins with a dot, or ends with a dot or a space";
  }
  if (WINDOWS_RESERVED.test(id)) {
    return "the name is reserved on Windows";
  }
  if (id.endsWith(".meta")) {
    return 'it ends with ".meta"';
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
