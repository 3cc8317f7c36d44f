import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import { sleep, timers } from "../../../async/timers.js";
import { SessionError } from "../../../errors.js";
import { checksum } from "../format/checksum.js";
import { keep_aside, remove_if_there, rename_if_there, with_file, type FilePolicy } from "../fs/durable-files.js";
import { is_errno, REFUSALS, succeeds, write_all, type FileLayer } from "../fs/file-layer.js";
import { life_of, own_identity, type ProcessIdentity } from "./process-identity.js";
import { read_beginning } from "../fs/regular-file.js";
import type { LockPlace } from "../session-paths.js";
import { damaged_is_unknown } from "../store-rules.js";
import { new_token } from "../fs/token.js";

/** A lock whose holder cannot be asked is broken when it has not changed for so long, by the waiter's own clock. */
const STALE_AFTER_MS = 10_000;
const MAX_WAIT_MS = 25;
/** Longer than any lock. */
const MOST_BYTES = 256;

/** The holder of a lock before the lock was taken over. */
interface Former {
  token: string;
  life: ReturnType<typeof life_of>;
}

/** The options of a store that its locks need. */
type LockPolicy = Pick<FilePolicy, "file_mode" | "lock_timeout_ms">;

/** A lock that is waited for, and the time from which it has not changed. */
interface Seen {
  target: string;
  since: number;
}

const MOST_WAITED_FOR = 1000;
/** Locks for which a call has waited in vain, by path: the next call goes on waiting. */
const waited_for = /* @__PURE__ */ new Map<string, Seen>();

/** How a lock was taken. */
interface Taken {
  former: Former | undefined;
  was_contended: boolean;
}

/**
 * A lock that this process holds on one session: a symbolic link whose target says who holds it. Where there are no
 * symbolic links, a file whose content says so. Both exclude each other, because both have the same name.
 */
export class SessionLock {
  /** Unique to this holding of the lock. */
  readonly token: string;
  /** The holder before, where this lock was taken over: what it left is to be cleaned up. */
  readonly former: Former | undefined;
  /** Others wanted it too. */
  readonly was_contended: boolean;
  readonly #layer: FileLayer;
  readonly #paths: LockPlace;
  readonly #target: string;
  /** True once the present change has written something that others can see. */
  #has_written = false;

  private constructor(
    layer: FileLayer,
    paths: LockPlace,
    token: string,
    target: string,
    { former, was_contended }: Taken,
  ) {
    this.#layer = layer;
    this.#paths = paths;
    this.token = token;
    this.#target = target;
    this.former = former;
    this.was_contended = was_contended;
  }

  /**
   * Waits for the lock and takes it. Takes over at once where the holder is gone.
   * @throws {SessionError} `storage` where one holder keeps the lock for longer than `lock_timeout_ms`.
   */
  static async acquire(layer: FileLayer, paths: LockPlace, policy: LockPolicy): Promise<SessionLock> {
    const token = new_token(12);
    held_tokens().add(token); // before anybody can see it
    try {
      const target = encode(own_identity(), token);
      return new SessionLock(layer, paths, token, target, await take(layer, paths, target, policy));
    } catch (error) {
      held_tokens().delete(token);
      throw error;
    }
  }

  async is_held(): Promise<boolean> {
    return (await read_target(this.#layer, this.#paths.lock)) === this.#target;
  }

  /** @throws {SessionError} see `broken`. */
  async require_held(): Promise<void> {
    if (!(await this.is_held())) {
      throw this.broken();
    }
  }

  /** Begins a change, of which nothing is written yet. One lock may serve many changes. */
  begin_change(): void {
    this.#has_written = false;
  }

  /** Notes that others may see the change from now on. */
  begin_writing(): void {
    this.#has_written = true;
  }

  /** Makes the error of a lock that was lost: `conflict`, or `storage` where the change may be stored all the same. */
  broken(cause?: unknown): SessionError {
    const { id: session_id, lock: path } = this.#paths;
    const taken = `session ${session_id} was taken over by another process`;
    const details = { session_id, path, cause };
    return this.#has_written
      ? new SessionError("storage", `${taken} during a change, which may be stored or not`, details)
      : new SessionError("conflict", taken, details);
  }

  /** Lets go of the lock; one that was broken is another's by now, and stays. */
  async release(): Promise<void> {
    try {
      if (await this.is_held()) {
        await remove_if_there(this.#layer, this.#paths.lock); // it may have been broken in this very moment
      }
    } finally {
      held_tokens().delete(this.token); // if it is still there, nobody holds it
    }
  }
}

const HELD_LOCKS = "@simulacra-ai/session held locks";

/** Returns the tokens of the locks that this thread holds or waits for, in all its realms and copies of this package. */
function held_tokens(): Set<string> {
  const tokens = getEnvironmentData(HELD_LOCKS) as Set<string> | undefined;
  if (tokens) {
    return tokens;
  }
  setEnvironmentData(HELD_LOCKS, new Set<string>());
  return held_tokens();
}

/** Judges the holder of a lock that has not changed for so long. Where the holder cannot be asked, the lock ages. */
function judge(target: string, waited: number, stale_after: number) {
  const identity = decode(target);
  const life = identity ? life_of_holder(identity) : "unknown";
  return { identity, life, is_dead: life === "gone" || (life === "unknown" && waited > stale_after) };
}

/** A lock of this very thread that it does not hold was left by a release that failed. */
function life_of_holder(identity: ProcessIdentity & { token: string }): ReturnType<typeof life_of> {
  const life = life_of(identity);
  const { pid, thread } = own_identity();
  const is_own = identity.pid === pid && identity.thread === thread;
  return life === "alive" && is_own && !held_tokens().has(identity.token) ? "gone" : life;
}

function encode(identity: ProcessIdentity, token: string): string {
  const { pid, started, thread, boot, machine, namespaces } = identity;
  return [`${pid}-${thread}`, started, boot, machine, namespaces, token].join("."); // under 60 bytes: it stays in the inode
}

function decode(target: string): (ProcessIdentity & { token: string }) | undefined {
  const match = /^(\d+)-(\d+)\.(\d*)\.([0-9a-f]*)\.([0-9a-f]*)\.([0-9a-f]*)\.([0-9a-f]{12})$/.exec(target);
  if (match === null) {
    return undefined;
  }
  const [, pid, thread, started = "", boot = "", machine = "", namespaces = "", token = ""] = match;
  return { pid: Number(pid), started, thread: Number(thread), boot, machine, namespaces, token };
}

/** Reads a lock. Returns `undefined` if there is none, and another text if something else has its name. */
async function read_target(layer: FileLayer, path: string): Promise<string | undefined> {
  try {
    return await layer.readlink(path);
  } catch (error) {
    if (is_errno(error, "ENOENT")) {
      return undefined;
    }
    if (!is_errno(error, "EINVAL", "UNKNOWN", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")) {
      throw error;
    }
  }
  const read = await read_beginning(layer, path, MOST_BYTES).catch(damaged_is_unknown);
  return read === "damaged" ? read : read?.bytes.toString(); // it may be written in this very moment
}

/** Makes a lock. Rejects with `EEXIST` if there is one. */
async function make_lock(layer: FileLayer, target: string, path: string, mode: number): Promise<void> {
  if (await succeeds([...REFUSALS, "EACCES"], () => layer.symlink(target, path))) {
    return;
  }
  const created = await layer.create(path, mode);
  try {
    await with_file(created, (file) => write_all(file, Buffer.from(target), 0));
  } catch (error) {
    const written = await read_target(layer, path).catch(() => undefined); // the first error says more
    if (written !== undefined && target.startsWith(written)) {
      await remove_if_there(layer, path).catch(() => undefined); // nobody else has taken the lock over
    }
    throw error;
  }
  if ((await read_target(layer, path)) !== target) {
    throw Object.assign(new Error(`${path} was taken over before it was written`), { code: "EEXIST" });
  }
}

/** Resolves when our lock is there. */
async function take(
  layer: FileLayer,
  paths: LockPlace,
  target: string,
  { file_mode, lock_timeout_ms }: LockPolicy,
): Promise<Taken> {
  const began = timers.now();
  let seen = waited_for.get(paths.lock);
  let was_contended = false;
  for (let wait = 0.5; ; wait = Math.min(wait * 2, MAX_WAIT_MS)) {
    if (await succeeds(["EEXIST"], () => make_lock(layer, target, paths.lock, file_mode))) {
      waited_for.delete(paths.lock);
      return { former: undefined, was_contended };
    }
    was_contended = true;
    const holder = await read_target(layer, paths.lock);
    if (holder === undefined) {
      continue;
    }
    const now = timers.now();
    if (holder !== seen?.target) {
      seen = { target: holder, since: now };
    }
    const waited = now - seen.since;
    const { identity, life, is_dead } = judge(holder, waited, STALE_AFTER_MS);
    const takeover = { path: paths.lock, dead: holder, target, waited, file_mode };
    if (is_dead && (await take_over(layer, paths, takeover))) {
      waited_for.delete(paths.lock);
      return { former: identity && { token: identity.token, life }, was_contended };
    }
    if (now - Math.max(began, seen.since) > lock_timeout_ms) {
      if (waited_for.size >= MOST_WAITED_FOR) {
        waited_for.clear();
      }
      waited_for.set(paths.lock, seen);
      throw timed_out(paths, identity, lock_timeout_ms);
    }
    await sleep(wait * (0.5 + Math.random()));
  }
}

function timed_out(
  { id, lock: path }: LockPlace,
  holder: ProcessIdentity | undefined,
  timeout_ms: number,
): SessionError {
  const by = holder ? `by process ${holder.pid}, thread ${holder.thread},` : "by an unknown process";
  const message = `session ${id} has been locked ${by} for more than ${timeout_ms} ms (${path})`;
  return new SessionError("storage", message, { session_id: id, path });
}

/** One link to replace, and by what. */
interface Takeover {
  path: string;
  dead: string;
  target: string;
  /** For how long the session's lock has not changed. */
  waited: number;
  file_mode: number;
}

/**
 * Puts our link in the place of a dead one, in one step. Only one waiter at a time may try: the one whose claim has a
 * name that follows from the dead link. A claim whose claimant died is taken over in the same way. Returns whether the
 * link is ours.
 */
async function take_over(
  layer: FileLayer,
  paths: LockPlace,
  { path, dead, target, waited, file_mode }: Takeover,
): Promise<boolean> {
  const claim = paths.temporary(checksum("claim", dead).slice(0, 12));
  if (!(await succeeds(["EEXIST"], () => make_lock(layer, target, claim, file_mode)))) {
    const claimed = await read_target(layer, claim);
    if (claimed === undefined || claimed === dead) {
      return false; // a claim that says the same as the lock is nobody's
    }
    const { is_dead } = judge(claimed, waited, 2 * STALE_AFTER_MS);
    if (!is_dead || !(await take_over(layer, paths, { path: claim, dead: claimed, target, waited, file_mode }))) {
      return false;
    }
  }
  const is_dead_still = (await read_target(layer, path)) === dead;
  if (is_dead_still && (await layer.stat(path))?.kind === "directory") {
    await keep_aside(layer, path, "corrupt"); // nothing is renamed over a directory, and no lock is one
  }
  await (is_dead_still ? rename_if_there(layer, claim, path) : remove_if_there(layer, claim));
  return (await read_target(layer, path)) === target; // one that was taken for dead may have moved our claim, or another's
}
