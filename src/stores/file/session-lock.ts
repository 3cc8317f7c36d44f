import { sleep, timers } from "../../async/timers.js";
import { SessionError } from "../../errors.js";
import { checksum } from "./checksum.js";
import { remove_if_there, rename_if_there } from "./durable-files.js";
import { is_errno, type FileLayer } from "./file-layer.js";
import { life_of, own_identity, type ProcessIdentity } from "./process-identity.js";
import type { LockPlace } from "./session-paths.js";
import { new_token } from "./token.js";

/** A lock whose holder cannot be asked is broken when it has not changed for so long, by the waiter's own clock. */
const STALE_AFTER_MS = 10_000;
const MAX_WAIT_MS = 25;

/** Who held a lock before it was taken over. */
interface Former {
  token: string;
  life: "gone" | "unknown";
}

/** How a lock was taken. */
interface Taken {
  former: Former | undefined;
  was_contended: boolean;
}

/** A lock that this process holds on one session: a symbolic link whose target says who holds it. */
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

  /** Waits for the lock and takes it. Takes over at once where the holder is gone. */
  static async acquire(layer: FileLayer, paths: LockPlace): Promise<SessionLock> {
    const token = new_token(12);
    HELD_TOKENS.add(token); // before anybody can see it
    try {
      const target = encode(own_identity(), token);
      return new SessionLock(layer, paths, token, target, await take(layer, paths, target));
    } catch (error) {
      HELD_TOKENS.delete(token);
      throw error;
    }
  }

  async is_held(): Promise<boolean> {
    return (await read_target(this.#layer, this.#paths.lock)) === this.#target;
  }

  /** @throws {SessionError} `conflict` where another process has broken the lock meanwhile. */
  async require_held(): Promise<void> {
    if (!(await this.is_held())) {
      throw this.broken();
    }
  }

  broken(cause?: unknown): SessionError {
    const { id: session_id, lock: path } = this.#paths;
    return new SessionError("conflict", `session ${session_id} was taken over by another process`, {
      session_id,
      path,
      ...(cause !== undefined && { cause }),
    });
  }

  /** Lets go of the lock; one that was broken is another's by now, and stays. */
  async release(): Promise<void> {
    try {
      if (await this.is_held()) {
        await remove_if_there(this.#layer, this.#paths.lock); // it may have been broken in this very moment
      }
    } finally {
      HELD_TOKENS.delete(this.token); // if it is still there, nobody holds it
    }
  }
}

/** The locks that this thread holds or waits for, whichever copy of this package has taken them. */
const HELD_TOKENS = held_tokens();

function held_tokens(): Set<string> {
  const shared = globalThis as { [key: symbol]: Set<string> | undefined };
  return (shared[Symbol.for("@simulacra-ai/session held locks")] ??= new Set());
}

/** A lock of this very thread that it does not hold was left by a release that failed. */
function life_of_holder(identity: ProcessIdentity & { token: string }): ReturnType<typeof life_of> {
  const life = life_of(identity);
  const { pid, thread } = own_identity();
  if (life !== "alive" || identity.pid !== pid) {
    return life;
  }
  return identity.thread === thread && !HELD_TOKENS.has(identity.token) ? "gone" : "alive";
}

function encode(identity: ProcessIdentity, token: string): string {
  const { pid, started, thread, boot, machine, pid_namespace } = identity;
  return [`${pid}-${thread}`, started, boot, machine, pid_namespace, token].join("."); // under 60 bytes: it stays in the inode
}

function decode(target: string): (ProcessIdentity & { token: string }) | undefined {
  const match = /^(\d+)-(\d+)\.(\d*)\.([0-9a-f]*)\.([0-9a-f]*)\.([0-9a-f]*)\.([0-9a-f]{12})$/.exec(target);
  if (match === null) {
    return undefined;
  }
  const [, pid, thread, started = "", boot = "", machine = "", pid_namespace = "", token = ""] = match;
  return { pid: Number(pid), started, thread: Number(thread), boot, machine, pid_namespace, token };
}

/** What a lock says; `undefined` where there is none, empty where something else has its name. */
async function read_target(layer: FileLayer, path: string): Promise<string | undefined> {
  try {
    return await layer.readlink(path);
  } catch (error) {
    if (is_errno(error, "ENOENT")) {
      return undefined;
    }
    if (is_errno(error, "EINVAL", "UNKNOWN")) {
      return "";
    }
    throw error;
  }
}

/** Resolves when our link is the lock. */
async function take(layer: FileLayer, paths: LockPlace, target: string): Promise<Taken> {
  let seen = { target: "", since: 0 };
  let was_contended = false;
  for (let wait = 0.5; ; wait = Math.min(wait * 2, MAX_WAIT_MS)) {
    try {
      await layer.symlink(target, paths.lock);
      return { former: undefined, was_contended };
    } catch (error) {
      if (!is_errno(error, "EEXIST")) {
        throw error;
      }
    }
    was_contended = true;
    const holder = await read_target(layer, paths.lock);
    if (holder === undefined) {
      continue;
    }
    const now = timers.now();
    if (holder !== seen.target) {
      seen = { target: holder, since: now };
    }
    const identity = decode(holder);
    const life = identity ? life_of_holder(identity) : "unknown";
    const waited = now - seen.since;
    const is_dead = life === "gone" || (life === "unknown" && waited > STALE_AFTER_MS);
    if (is_dead && (await take_over(layer, paths, { path: paths.lock, dead: holder, target, waited }))) {
      return { former: identity && { token: identity.token, life }, was_contended };
    }
    await sleep(wait * (0.5 + Math.random()));
  }
}

/** One link to replace, and by what. */
interface Takeover {
  path: string;
  dead: string;
  target: string;
  /** For how long the session's lock has not changed. */
  waited: number;
}

/**
 * Puts our link in the place of a dead one, in one step. Only one waiter at a time may try: the one whose claim has a
 * name that follows from the dead link. A claim whose claimant died is taken over in the same way. Returns whether the
 * link is ours.
 */
async function take_over(
  layer: FileLayer,
  paths: LockPlace,
  { path, dead, target, waited }: Takeover,
): Promise<boolean> {
  const claim = paths.temporary(checksum("claim", dead).slice(0, 12));
  try {
    await layer.symlink(target, claim);
  } catch (error) {
    if (!is_errno(error, "EEXIST")) {
      throw error;
    }
    const claimed = await read_target(layer, claim);
    if (claimed === undefined) {
      return false;
    }
    const claimant = decode(claimed);
    const life = claimant ? life_of_holder(claimant) : "unknown";
    const is_dead = life === "gone" || (life === "unknown" && waited > 2 * STALE_AFTER_MS);
    if (!is_dead || !(await take_over(layer, paths, { path: claim, dead: claimed, target, waited }))) {
      return false;
    }
  }
  const is_dead_still = (await read_target(layer, path)) === dead;
  await (is_dead_still ? rename_if_there(layer, claim, path) : remove_if_there(layer, claim));
  return (await read_target(layer, path)) === target; // one that was taken for dead may have moved our claim, or another's
}
