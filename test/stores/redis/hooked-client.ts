import type { RedisSessionClient } from "../../../src/stores/redis/index.js";
import type { Client } from "./clients.js";

/** What happens to a command: it runs, it is lost on its way, or its reply is; or it is sent again when that is lost. */
export type Fate = "runs" | "lost" | "reply lost" | "runs twice";

type Fates = (command: number) => Fate | Promise<Fate>;

/** Something happens before one command, counted from 1, and those after it. */
export function before(command: number, task: () => Promise<unknown>): Fates {
  let running: Promise<unknown> | undefined;
  return async (number): Promise<Fate> => {
    if (number >= command) {
      running ??= task();
      await running;
    }
    return "runs";
  };
}

/** Either way to write a session and its entry in the index; `command` is the one that writes the session. */
export const WAYS = [
  { way: "in one step", is_cluster: false, command: 2 },
  { way: "in steps", is_cluster: true, command: 3 },
] as const;

/** A client over whose commands the test decides; it counts them and what they return. */
export class HookedClient {
  readonly #client: Client;
  readonly #fate: Fates;
  readonly #is_cluster: boolean;
  commands = 0;
  /** Characters of all replies. */
  received = 0;

  /** With `is_cluster` no two keys are in one slot; what is refused for that is not counted. */
  constructor(client: Client, fate: Fates = () => "runs", { is_cluster = false } = {}) {
    this.#client = client;
    this.#fate = fate;
    this.#is_cluster = is_cluster;
  }

  get client(): RedisSessionClient {
    const real = this.#client;
    return {
      eval: (text, call) => this.#run(() => real.eval(text, call), call),
      // What the server has yet to be told is counted when it is.
      evalSha: (sha1, call) => this.#run(() => real.evalSha(sha1, call).catch((error) => this.#uncounted(error)), call),
      hGetAll: (key) => this.#run(() => real.hGetAll(key)),
      scan: (cursor, options) => this.#run(() => real.scan(cursor, options)),
    };
  }

  #uncounted(error: unknown): never {
    if (error instanceof Error && error.message.startsWith("NOSCRIPT")) {
      this.commands -= 1;
    }
    throw error;
  }

  async #run<T>(command: () => Promise<T>, { keys }: { keys: string[] } = { keys: [] }): Promise<T> {
    if (this.#is_cluster && keys.length > 1) {
      throw new Error("CROSSSLOT Keys in request don't hash to the same slot");
    }
    this.commands += 1;
    const fate = await this.#fate(this.commands);
    if (fate === "lost") {
      throw new Error("the connection is lost");
    }
    let reply = await command();
    if (fate === "runs twice") {
      reply = await command();
    }
    if (fate === "reply lost") {
      throw new Error("the connection is lost");
    }
    this.received += JSON.stringify(reply)?.length ?? 0;
    return reply;
  }
}
