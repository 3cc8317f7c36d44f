import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { bundle, type Bundle } from "../../support/bundle.js";
import { SHARED_URL } from "./clients.js";
import { HAS_SHARED, use_shared } from "./servers.js";
import type { WriterReport, WriterTask } from "./writer-process.js";

const WRITERS = ["w0", "w1", "w2", "w3"];
const TURNS = 50;

interface Writer {
  process: ChildProcessWithoutNullStreams;
  ready: Promise<void>;
  report: Promise<WriterReport>;
}

function start(program: string, task: WriterTask): Writer {
  const child = spawn(process.execPath, [program, JSON.stringify(task)]);
  let [output, complaints] = ["", ""];
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => resolve());
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  child.stderr.on("data", (chunk: Buffer) => (complaints += chunk.toString()));
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      resolve();
    });
    void ended.then(() => reject(new Error(`a writer ended before it began: ${complaints}`)));
  });
  const report = ended.then(() => {
    expect(complaints).toBe("");
    return JSON.parse(output.split("\n")[1] ?? "") as WriterReport;
  });
  return { process: child, ready, report };
}

describe.skipIf(!HAS_SHARED)("rules 23 and 57.1: four processes append fifty turns each", () => {
  const { open } = use_shared();
  let bundled: Bundle | undefined;
  beforeAll(async () => void (bundled = await bundle(new URL("writer-process.ts", import.meta.url))));
  afterAll(() => bundled?.remove());

  for (const sessions of [["one"], ["a", "b", "c", "d", "e"]]) {
    test(`to ${sessions.length === 1 ? "one session" : "many"}: nothing is lost or doubled, every conflict is told`, async () => {
      const { store, prefix } = open();
      await Promise.all(sessions.map((id) => store.save(id, [])));
      const writers = WRITERS.map((name) =>
        start(bundled?.program ?? "", { url: SHARED_URL, prefix, ids: sessions, name, turns: TURNS }),
      );
      await Promise.all(writers.map(({ ready }) => ready));
      writers.forEach((writer) => writer.process.stdin.write("go\n"));
      const reports = await Promise.all(writers.map(({ report }) => report));
      for (const session of sessions) {
        const found = (await store.load(session))?.messages.map(({ id }) => id ?? "") ?? [];
        const written = reports.map((report) => report.written.flatMap(([at, id]) => (at === session ? [id] : [])));
        expect([...found].sort()).toEqual(written.flat().sort());
        written.forEach((own) => expect(found.filter((id) => own.includes(id))).toEqual(own));
      }
      const listed = await store.list();
      expect(listed.reduce((sum, { message_count }) => sum + message_count, 0)).toBe(WRITERS.length * TURNS);
      const codes = new Set(reports.flatMap(({ errors }) => Object.keys(errors)));
      expect([...codes].filter((code) => code !== "conflict")).toEqual([]);
    });
  }
});
