import { createHash } from "node:crypto";
import { sleep } from "../../async/timers.js";
import { is_error, SessionError } from "../../errors.js";

interface ScriptCall {
  keys: string[];
  arguments: string[];
}

/** What runs scripts: every client of node-redis, and its cluster. */
interface ScriptClient {
  eval(script: string, call: ScriptCall): Promise<unknown>;
  evalSha(sha1: string, call: ScriptCall): Promise<unknown>;
}

/**
 * A plain read, some times as fast as the same in a script. It is used only of what reads where it writes: a cluster
 * or a sentinel may ask a replica, a cache on the client's side may not have heard yet.
 */
interface ReadClient {
  hGetAll?(key: string): Promise<unknown>;
  readonly clientSideCache?: unknown;
}

/** What walks through the keys of one server. */
interface ScanClient {
  scan(cursor: string, options: { MATCH: string; COUNT: number }): Promise<{ cursor: unknown; keys: unknown[] }>;
}

/** What names the masters of a cluster. */
interface ClusterClient {
  readonly masters: readonly unknown[];
  nodeClient(node: unknown): Promise<ScanClient> | ScanClient;
}

/**
 * A connected client of node-redis (`createClient()`, also a pool or a sentinel) or its `createCluster()`: what is called
 * of it. It is never closed by the store.
 */
export type RedisSessionClient = ScriptClient & ReadClient & (ScanClient | ClusterClient);

/** A Lua script, and the digest that the server knows it by. */
export interface Script {
  text: string;
  sha1: string;
}

export function script(text: string): Script {
  const trimmed = text.trim();
  return { text: trimmed, sha1: createHash("sha1").update(trimmed).digest("hex") };
}

/** Nothing was run, and the same may succeed a little later: a server that starts, a slot that has just moved. */
const PASSING = ["LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "Too many Cluster redirections"];
const ATTEMPTS = 20;
const LONGEST_MS = 250;

function begins_with(error: unknown, words: readonly string[]): boolean {
  return is_error(error) && words.some((word) => error.message.startsWith(word));
}

/** What a cluster has, a sentinel, and the clients that a sentinel lends: they may read of a replica. */
const ELSEWHERE = ["nodeClient", "getSentinelNode", "release"];

export function is_cluster(client: RedisSessionClient): boolean {
  return "nodeClient" in client;
}

/** Keys in several slots of a cluster: nothing was run. */
export function is_cross_slot(error: unknown): boolean {
  return begins_with(error, ["CROSSSLOT"]);
}

export function is_wrong_type(error: unknown): boolean {
  return is_error(error) && error.message.includes("WRONGTYPE"); // before Redis 7, behind what a script says
}

/**
 * Runs a script. A server that has forgotten it is told it again.
 * @returns the texts of the reply, `undefined` where it has a null.
 */
export async function run_script(
  client: RedisSessionClient,
  { text, sha1 }: Script,
  keys: readonly string[],
  given: readonly (string | number)[] = [],
): Promise<(string | undefined)[]> {
  const call = { keys: [...keys], arguments: given.map(String) };
  const run = () =>
    client.evalSha(sha1, call).catch((error: unknown) => {
      if (begins_with(error, ["NOSCRIPT"])) {
        return client.eval(text, call);
      }
      throw error;
    });
  return texts_of(await with_attempts(run));
}

/** A whole hash; `undefined` where the client has no way to that but scripts, or returns something else than texts. */
export async function read_hash(client: RedisSessionClient, key: string): Promise<Map<string, string> | undefined> {
  if (!client.hGetAll || !reads_where_it_writes(client)) {
    return undefined;
  }
  const reply = await with_attempts(async () => client.hGetAll?.(key));
  if (!is_plain_object(reply)) {
    return undefined;
  }
  const entries = Object.entries(reply);
  return entries.every(is_text_entry) ? new Map(entries) : undefined;
}

function reads_where_it_writes(client: RedisSessionClient): boolean {
  return client.clientSideCache === undefined && !ELSEWHERE.some((name) => name in client);
}

/** Tries again what was not run for a passing reason, at random intervals. */
async function with_attempts<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      if (attempt === ATTEMPTS || !begins_with(error, PASSING)) {
        throw error;
      }
    }
    await sleep(Math.random() * Math.min(LONGEST_MS, 4 * 2 ** attempt));
  }
}

/** Names of keys that match, of every master, in portions; one may come twice. */
export async function* scan_keys(client: RedisSessionClient, pattern: string): AsyncGenerator<string[]> {
  for (const node of await masters_of(client)) {
    let cursor = "0";
    do {
      const reply = await node.scan(cursor, { MATCH: pattern, COUNT: 1000 });
      cursor = text_of(reply.cursor) ?? "0";
      yield reply.keys.map((key) => text_of(key) ?? "");
    } while (cursor !== "0");
  }
}

async function masters_of(client: RedisSessionClient): Promise<ScanClient[]> {
  if ("nodeClient" in client) {
    return Promise.all(client.masters.map(async (node) => client.nodeClient(node)));
  }
  return [client];
}

/** A client may be told to return other types than texts. */
function text_of(value: unknown): string | undefined {
  if (value === null || value === undefined || typeof value === "string") {
    return value ?? undefined;
  }
  return Buffer.isBuffer(value) ? value.toString() : JSON.stringify(value);
}

function texts_of(reply: unknown): (string | undefined)[] {
  if (!Array.isArray(reply)) {
    throw new SessionError("storage", "the server's reply is none of the scripts'");
  }
  return reply.map(text_of);
}

/** Clients return objects without a prototype, or with the usual one, of whichever realm. */
function is_plain_object(value: unknown): value is object {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function is_text_entry(entry: [string, unknown]): entry is [string, string] {
  return typeof entry[1] === "string";
}
