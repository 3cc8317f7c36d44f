import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { FileSessionStore } from "@simulacra-ai/session";
import { expect, onTestFinished, test } from "vitest";
import { texts, turns } from "../support/messages.js";
import { temporary_directory } from "../support/temporary-directory.js";
import { history_of } from "../support/histories.js";
import type { WriterTask } from "./writer-process.js";
import { TSX } from "../support/tsx.js";

const PROGRAM = fileURLToPath(new URL("writer-process.ts", import.meta.url));

/** A process that has loaded its session and waits; `run` lets it speak, and resolves with what it printed. */
async function start_writer(task: WriterTask) {
  const child = spawn(process.execPath, [...TSX, PROGRAM, JSON.stringify(task)]);
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const output = createInterface(child.stdout);
  const loaded = new Promise<void>((resolve, reject) => {
    output.on("line", (line) => (line === "loaded" ? resolve() : lines.push(line)));
    child.on("close", (code) => reject(new Error(`it ended early with ${code}: ${errors}`)));
  });
  const closed = once(child, "close");
  await loaded;
  return {
    run: async () => {
      child.stdin.write("go\n");
      const [code] = (await closed) as [number | null];
      expect([code, errors]).toEqual([0, ""]);
      return lines;
    },
  };
}

test.each(["json", "ndjson"] as const)(
  "rule 9: of two processes that write one session in %s, nothing acknowledged vanishes",
  async (format) => {
    const { path, remove } = await temporary_directory();
    onTestFinished(remove);
    const store = new FileSessionStore(path, { format });
    await store.save("s", turns(1), { kind: "root" });
    const tasks = ["red", "blue"].map((name) => ({ root: path, format, session_id: "s", name, turns: 20 }));
    const writers = await Promise.all(tasks.map(start_writer));
    const printed = await Promise.all(writers.map((writer) => writer.run()));
    const conflicts = printed.flat().filter((line) => line.startsWith("conflict "));
    expect(conflicts).toHaveLength(1);
    const [, id, fork_id = ""] = conflicts[0]!.split(" ");
    expect(id).toBe("s");
    const begun = texts(turns(1))!;
    const spoken = ["red", "blue"].map((name) => [
      ...begun,
      ...Array.from({ length: 20 }, (_, n) => [`${name} ${n + 1}`, `re: ${name} ${n + 1}`]).flat(),
    ]);
    const histories = [await history_of(store, "s"), await history_of(store, fork_id)];
    const loser = printed.findIndex((lines) => lines.includes(conflicts[0]!));
    expect(histories).toEqual(loser === 0 ? [spoken[1], spoken[0]] : spoken);
    for (const [n, lines] of printed.entries()) {
      expect(lines.filter((line) => line.startsWith("stored"))).toHaveLength(20);
      expect(lines.at(-1)).toContain(n === loser ? fork_id : "stored s ");
      expect(lines.filter((line) => line.startsWith("error"))).toEqual([]);
    }
    expect((await store.list()).map((entry) => entry.id).sort()).toEqual(["s", fork_id].sort());
    expect(await store.verify()).toEqual([]);
  },
);
