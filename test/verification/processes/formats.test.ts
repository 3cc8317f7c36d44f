import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { loaded, quick_directory, texts_of } from "../../stores/helpers.js";
import { tree } from "../../stores/file/files.js";
import { open } from "../../stores/file/damaged/files.js";
import type { WriterTask } from "./format-writer.js";
import { TSX } from "../../support/tsx.js";

const PROGRAM = fileURLToPath(new URL("format-writer.ts", import.meta.url));

/** A process that waits for `go`; `lines` are the messages that were acknowledged to it. */
async function start(task: WriterTask) {
  const child = spawn(process.execPath, [...TSX, PROGRAM, JSON.stringify(task)]);
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const closed = once(child, "close") as Promise<[number | null, string | null]>;
  await new Promise<void>((resolve, reject) => {
    createInterface(child.stdout).on("line", (line) => (line === "ready" ? resolve() : lines.push(line)));
    child.on("close", (code) => reject(new Error(`it ended early with ${code}: ${errors}`)));
  });
  const killed_after = async (count: number) => {
    while (lines.length < count && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    child.kill("SIGKILL");
  };
  return { lines, go: () => child.stdin.write("go\n"), closed, killed_after, errors: () => errors };
}

test.each([
  ["ndjson", ["ndjson", "ndjson", "ndjson"]],
  ["both forms", ["json", "ndjson", "json"]],
] as const)(
  "rule 43: of three processes that write one session in %s, one of them killed, nothing acknowledged vanishes",
  async (_, formats) => {
    const root = quick_directory();
    const names = ["first", "second", "killed"];
    const tasks = formats.map((format, n): WriterTask => ({ root, format, name: names[n] ?? "", count: 60 }));
    const writers = await Promise.all(tasks.map(start));
    writers.forEach(({ go }) => go());
    await writers[2]?.killed_after(25);
    const ends = await Promise.all(writers.map(({ closed }) => closed));
    expect([ends.slice(0, 2), writers.map(({ errors }) => errors())]).toEqual([
      [
        [0, null],
        [0, null],
      ],
      ["", "", ""],
    ]);
    for (const at_rest of [false, true]) {
      const found = texts_of((await loaded(open(root, "json"))).messages);
      for (const [n, { lines }] of writers.entries()) {
        const own = found.filter((text) => text.startsWith(`${names[n]} `));
        expect(own.slice(0, lines.length)).toEqual(lines);
        expect(own.length - lines.length).toBeLessThan(n < 2 ? 1 : 2); // the last one may have been stored untold
        expect(own).toEqual(own.map((_text, at) => `${names[n]} ${at}`));
      }
      if (!at_rest) {
        await open(root, "ndjson").flush();
      }
    }
    const form = fs.existsSync(`${root}/s.json`) ? ["s.json"] : ["s.meta.json", "s.ndjson"];
    const link = form.at(-1) ?? "";
    expect(tree(root)).toEqual(["p-forks/", `p-forks/${link}`, ...form]);
    expect(await open(root, "json").verify()).toEqual([]);
  },
);
