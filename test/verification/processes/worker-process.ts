import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { bundle } from "../../support/bundle.js";
import { memory_place, new_directory } from "../../support/temporary-directory.js";
import type { Task } from "./program.js";

const living = new Set<WorkerProcess>();
process.on("exit", () => living.forEach((worker) => worker.signal("SIGKILL")));

/** Another process. It is started at once, and told what to do when it is wanted. */
export class WorkerProcess {
  readonly lines: string[] = [];
  /** Resolves when it has ended and everything that it said has been read. */
  readonly ended: Promise<void>;
  has_ended = false;
  on_line: (line: string) => void = () => undefined;
  readonly #process: ChildProcessWithoutNullStreams;
  #rest = "";
  #waiting: (() => void)[] = [];

  /** `wrapper`: a command that runs the process in an environment of its own. */
  constructor(program: string, wrapper: readonly string[] = [], environment: NodeJS.ProcessEnv = {}) {
    const [command = "", ...rest] = [...wrapper, process.execPath, program];
    this.#process = spawn(command, rest, { env: { ...process.env, ...environment } });
    this.#process.stdout.setEncoding("utf8").on("data", (chunk: string) => this.#read(chunk));
    this.#process.stderr.on("data", (chunk: Buffer) => this.#read(`error ${chunk.toString().replaceAll("\n", " ")}\n`));
    this.#process.stdin.on("error", () => undefined); // it was killed before it was told
    living.add(this);
    this.ended = new Promise((resolve, reject) => {
      this.#process.on("error", reject);
      this.#process.on("close", () => {
        this.has_ended = true;
        living.delete(this);
        this.#wake();
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  #read(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      this.lines.push(line);
      this.on_line(line);
    }
    this.#wake();
  }

  #wake(): void {
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  run(task: Task): void {
    this.tell(JSON.stringify(task));
  }

  /** Resolves when it has said so many lines that begin so, or has ended. */
  async said(beginning: string, times = 1): Promise<void> {
    while (!this.has_ended && this.starting_with(beginning).length < times) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  starting_with(beginning: string): string[] {
    return this.lines.filter((line) => line.startsWith(beginning));
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Kills it, if it lives, and reads to the end what it has said. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }

  /** Lets it end by itself. */
  async finish(): Promise<void> {
    this.#process.stdin.end();
    await this.ended;
  }
}

export type StartProcess = (wrapper?: readonly string[], environment?: NodeJS.ProcessEnv) => WorkerProcess;

/**
 * Gives `use` a directory in memory, something that starts processes, and a directory on a device; afterwards all of it
 * is ended and removed.
 */
export async function with_processes<T>(
  use: (quick_directory: string, start: StartProcess, directory: string) => Promise<T>,
  source = new URL("program.ts", import.meta.url),
): Promise<T> {
  const quick = new_directory(memory_place());
  const slow = new_directory();
  const started: WorkerProcess[] = [];
  try {
    const { program } = await bundle(source, slow.path);
    const start: StartProcess = (wrapper, environment) => {
      const worker = new WorkerProcess(program, wrapper, environment);
      started.push(worker);
      return worker;
    };
    return await use(quick.path, start, slow.path);
  } finally {
    await Promise.all(started.map((worker) => worker.kill()));
    quick.remove();
    slow.remove();
  }
}
