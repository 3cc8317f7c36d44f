import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { CORRUPT, entries_of, type Found, GONE, session_in } from "./contents.js";
import type { MemoryDisk } from "./memory-disk.js";

const SCRIPT = fileURLToPath(new URL("read_session.py", import.meta.url));

type Answer = Record<string, { metadata: unknown; messages: unknown; draft?: unknown } | typeof CORRUPT>;

/** Has what it reads looked at by the other reader too; where there is no Python only outside of CI, and not silently. */
export async function with_other_reader<T>(task: (other_reader: OtherReader | undefined) => Promise<T>): Promise<T> {
  const missing = other_reader_is_missing();
  if (missing !== undefined) {
    if (process.env["CI"] !== undefined) {
      throw new Error(missing);
    }
    console.warn(`SKIPPED: the second reader of the files: ${missing}`);
    return task(undefined);
  }
  const other_reader = new OtherReader();
  try {
    return await task(other_reader);
  } finally {
    other_reader.close();
  }
}

/** Why the other reader cannot be asked here; `undefined`: it can. */
function other_reader_is_missing(): string | undefined {
  return spawnSync("python3", ["--version"]).status === 0 ? undefined : "there is no python3";
}

/** A reader that was written from docs/format.md alone: one process that is asked about any number of directories. */
export class OtherReader {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  #errors = "";
  #asked = 0;

  constructor() {
    this.#process = spawn("python3", [SCRIPT, "-"]);
    this.#process.stderr.on("data", (text: Buffer) => (this.#errors += text.toString()));
    createInterface({ input: this.#process.stdout, crlfDelay: Infinity }).on("line", (line) =>
      this.#waiting.shift()?.resolve(JSON.parse(line) as Answer),
    );
    this.#process.on("close", () => {
      const error = new Error(`the other reader ended: ${this.#errors}`);
      this.#waiting.splice(0).forEach(({ reject }) => reject(error));
    });
  }

  /** How many directories it has read. */
  get asked(): number {
    return this.#asked;
  }

  close(): void {
    this.#process.stdin.end();
  }

  /** In what it differs from ours. */
  async problem_of(disk: MemoryDisk, found: ReadonlyMap<string, Found>): Promise<string | undefined> {
    const answer = await this.#ask(disk);
    const ids = new Set([...found.keys(), ...Object.keys(answer)]);
    for (const id of ids) {
      const { content, draft } = found.get(id) ?? { content: GONE, draft: undefined };
      const { metadata, messages } = session_in(content) ?? {};
      const drafted = draft === undefined ? {} : { draft: JSON.parse(draft) as unknown };
      const ours =
        metadata === undefined ? (content === CORRUPT ? CORRUPT : undefined) : { metadata, messages, ...drafted };
      if (!isDeepStrictEqual(answer[id], ours)) {
        return `the other reader finds ${JSON.stringify(answer[id])?.slice(0, 300)} where we find ${content.slice(0, 300)} ${draft?.slice(0, 300)}`;
      }
    }
    return undefined;
  }

  #ask(disk: MemoryDisk): Promise<Answer> {
    const files = new Map<string, string>();
    for (const [name, inode] of entries_of(disk)) {
      const node = disk.node(inode);
      if (node.kind === "file") {
        files.set(name, node.data.toString("base64"));
      }
    }
    this.#asked += 1;
    this.#process.stdin.write(`${JSON.stringify(Object.fromEntries(files))}\n`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}
