import { spawn, execFileSync, type ChildProcess } from "node:child_process";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll } from "vitest";
import { RedisSessionStore, type RedisSessionStoreOptions } from "../../../src/stores/redis/index.js";
import { is_there } from "../../support/servers.js";
import { memory_place, new_directory } from "../../support/temporary-directory.js";
import { connect, new_prefix, remove_keys, SHARED_URL } from "./clients.js";

export const HAS_SHARED = is_there("Redis");
export const HAS_SERVER = is_there("redis-server");

/** Stores on the machine's server for the tests of a `describe`, each with a prefix of its own; all is gone after each test. */
export function use_shared() {
  const client = connect(SHARED_URL);
  const prefixes: string[] = [];
  beforeAll(async () => void (await client.connect()));
  afterEach(async () => remove_keys(client, prefixes.splice(0, Infinity)));
  afterAll(async () => void (await client.close()));
  const open = (options: RedisSessionStoreOptions = {}) => {
    const prefix = options.prefix ?? new_prefix();
    prefixes.push(prefix);
    return { store: new RedisSessionStore(client, { ...options, prefix }), prefix };
  };
  return { client, open };
}

/** Ports that are free at the moment, each with another one for the bus of a cluster, which is 10,000 above. */
export async function free_ports(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let port = 20_000 + (process.pid % 10_000); found.length < count; port = 20_000 + ((port + 7) % 10_000)) {
    if ((await is_free(port)) && (await is_free(port + 10_000))) {
      found.push(port);
    }
  }
  return found;
}

function is_free(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer().once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** A server of the test's own. */
export class OwnServer {
  readonly port: number;
  readonly #directory: string;
  readonly #options: readonly string[];
  #process: ChildProcess | undefined;
  /** A server does not outlive the tests, however they end. */
  readonly #end = () => void this.#process?.kill("SIGKILL");

  constructor(port: number, directory: string, options: readonly string[]) {
    this.port = port;
    this.#directory = directory;
    this.#options = options;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const where = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#directory, "--save", ""];
    const started = spawn("redis-server", [...where, "--loglevel", "warning", ...this.#options], { stdio: "ignore" });
    this.#process = started;
    process.once("exit", this.#end);
    let failed: unknown;
    started.on("error", (error) => (failed = error));
    while (!(await answers(this.port))) {
      if (failed !== undefined || started.exitCode !== null) {
        throw new Error(`redis-server at port ${this.port} has not started`, { cause: failed });
      }
      await pause(10);
    }
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    process.off("exit", this.#end);
    if (running !== undefined && running.exitCode === null && running.signalCode === null) {
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill("SIGKILL");
      await ended;
    }
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", (data) => (socket.destroy(), resolve(data.toString().startsWith("+PONG"))));
    socket.once("error", () => resolve(false));
  });
}

export interface OwnCluster {
  ports: number[];
  close(): Promise<void>;
}

/** Three masters without replicas. */
export async function start_cluster(): Promise<OwnCluster> {
  const ports = await free_ports(3);
  const { path: directory, remove } = new_directory(memory_place());
  const servers = ports.map((port) => {
    const own = ["--cluster-enabled", "yes", "--cluster-config-file", `nodes-${port}.conf`, "--appendonly", "no"];
    return new OwnServer(port, directory, own);
  });
  const close = async () => {
    await Promise.all(servers.map((server) => server.kill()));
    remove();
  };
  try {
    await Promise.all(servers.map((server) => server.start()));
    const create = ["--cluster", "create", ...ports.map((port) => `127.0.0.1:${port}`), "--cluster-yes"];
    execFileSync("redis-cli", create, { timeout: 20_000, stdio: "pipe" });
    for (const port of ports) {
      const info = ["-p", String(port), "cluster", "info"];
      while (!execFileSync("redis-cli", info, { encoding: "utf8" }).includes("cluster_state:ok")) {
        await pause(20);
      }
    }
    return { ports, close };
  } catch (error) {
    await close();
    throw error;
  }
}
