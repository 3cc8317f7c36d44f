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

/** A client over whose commands the test decides; it counts them and what they return. */
export class HookedClient {
  readonly #client: Client;
  readonly #fate: Fates;
  commands = 0;
  /** Characters of all replies. */
  received = 0;

  constructor(client: Client, fate: Fates = () => "runs") {
    this.#client = client;
    this.#fate = fate;
  }

  get client(): RedisSessionClient {
    const { eval: run, evalSha: run_known, scan } = this.#client;
    return {
      eval: (...args) => this.#run(() => run.apply(this.#client, args)),
      evalSha: (...args) => this.#run(() => run_known.apply(this.#client, args)),
      scan: (...args) => this.#run(() => scan.apply(this.#client, args)),
    };
  }

  async #run<T>(command: () => Promise<T>): Promise<T> {
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
