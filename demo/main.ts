/**
 * The demo: a real conversation is recorded and its process killed; another process resumes it, and nothing that was
 * acknowledged is missing. It is forked and rewound, and two processes continue it at once: every history lives on.
 * Every line with a tick is checked; one that does not hold ends the demo with exit code 1.
 *
 * Usage: npm run demo -- [--seed N] [--keep]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { parseArgs } from "node:util";
import { Conversation, recorded_turns, StreamingProvider, type Message } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager } from "@simulacra-ai/session";
import { bold, claim, dim, failing_clearly, kilobytes, note, read_recording, step } from "./claims.js";
import { end_of, start } from "./processes.js";
import { seeded_random } from "../test/support/random.js";
import { print_files, print_leftovers, print_tree } from "./report.js";
import type { ResumerReport } from "./resumer.js";
import { run_rivals } from "./rivals.js";

const { values: options } = parseArgs({
  options: { seed: { type: "string", default: "1" }, keep: { type: "boolean", default: false } },
});
const directory = await mkdtemp(join(tmpdir(), "simulacra-session-demo-"));
process.on("SIGINT", () => undefined); // the process that it interrupts fails; this one then removes the directory
try {
  await failing_clearly(() => tell(directory, Number(options.seed)));
} finally {
  if (options.keep) {
    console.log(`\n kept: ${directory}`);
  } else {
    await rm(directory, { recursive: true });
  }
}

async function tell(directory: string, seed: number): Promise<void> {
  const began = performance.now();
  const recording = read_recording();
  const title = `${recording.length} real messages: recorded, killed, resumed, forked, rewound, continued by two at once`;
  console.log(bold(` ${title}`) + dim(`   --seed ${seed}`));

  step(1, "A process records the conversation, saving after every turn");
  const killed = await record_and_kill(directory, seed, recording.length);

  step(2, "What the killed process left behind");
  await print_leftovers(directory);

  const resumed = await run_resumer(directory, killed.messages);

  const rivals = await run_rivals(directory, resumed.root_id, recording);

  step(11, "The sessions, as one more process lists them");
  const idle = new Conversation(new StreamingProvider());
  using manager = new SessionManager(new FileSessionStore(directory), idle, { auto_save: false });
  const entries = await manager.list();
  print_tree(entries);
  const of_kind = (kind: string) => entries.filter((entry) => entry.kind === kind).length;
  claim(
    entries.length === 7 && of_kind("root") === 1 && of_kind("fork") === 3 && of_kind("child") === 2,
    "7 sessions: a root; three forks, of fork(), rewind() and the conflict; two children and a checkpoint",
  );

  step(12, "The files");
  await print_files(directory, entries);

  step(13, "Bytes written: counted at each write() of the store, of the killed process to its last acknowledgement");
  const bytes_after_it = resumed.bytes_in_all - resumed.bytes_to_the_end + rivals.bytes;
  print_bytes(recording, killed.bytes + resumed.bytes_to_the_end, bytes_after_it);
  console.log(`\n ${bold("Everything is as it says.")} ${dim(`${((performance.now() - began) / 1000).toFixed(1)} s`)}`);
}

interface Acknowledged {
  /** How many messages the process said were stored. */
  messages: number;
  /** How many bytes it had written by then. */
  bytes: number;
}

/** Runs the recorder until it has acknowledged a random number of messages, then kills it. */
async function record_and_kill(directory: string, seed: number, total: number): Promise<Acknowledged> {
  const kill_at = Math.round(total * (0.3 + 0.4 * seeded_random(seed).next()));
  const recorder = start("recorder.ts", [directory, String(seed)], ["ignore", "pipe", "inherit"]);
  const acknowledgements: Acknowledged[] = [];
  const listen = async (output: Readable) => {
    for await (const line of createInterface(output)) {
      const acknowledged = parse_acknowledgement(line);
      acknowledgements.push(acknowledged);
      print_progress(acknowledged.messages, total, line, acknowledgements.length);
      if (acknowledged.messages >= kill_at) {
        recorder.kill("SIGKILL"); // what is in the pipe by now was acknowledged too, and is read to its end
      }
    }
  };
  const [{ signal }] = await Promise.all([end_of(recorder), listen(recorder.stdout as Readable)]);
  end_progress();
  const last = acknowledgements.at(-1) ?? { messages: 0, bytes: 0 };
  claim(
    signal === "SIGKILL" && last.messages >= kill_at && last.messages < total,
    `killed (SIGKILL) after ${acknowledgements.length} acknowledged saves: ${last.messages} of ${total} messages`,
  );
  return last;
}

function parse_acknowledgement(line: string): Acknowledged {
  const match = /^saved (\d+) messages, (\d+) bytes$/.exec(line);
  if (match === null) {
    throw new Error(`the recorder said ${JSON.stringify(line)}`);
  }
  return { messages: Number(match[1]), bytes: Number(match[2]) };
}

function print_progress(done: number, total: number, line: string, saves: number): void {
  if (process.stdout.isTTY) {
    const width = Math.round((40 * done) / total);
    process.stdout.write(`\r    ${"━".repeat(width)}${dim("─".repeat(40 - width))} ${line.padEnd(40)}`);
  } else if (saves % 40 === 1) {
    note(line);
  }
}

function end_progress(): void {
  if (process.stdout.isTTY) {
    process.stdout.write("\n");
  }
}

async function run_resumer(directory: string, acknowledged: number): Promise<ResumerReport> {
  const resumer = start("resumer.ts", [directory, String(acknowledged)], ["ignore", "inherit", "inherit", "ipc"]);
  let report: ResumerReport | undefined;
  resumer.on("message", (message) => (report = message as ResumerReport));
  const { code, signal } = await end_of(resumer);
  if (code !== 0 || report === undefined) {
    throw new Error(`the resuming process failed (${signal ?? `exit code ${code}`})`);
  }
  return report;
}

function print_bytes(recording: readonly Message[], written: number, after_it: number): void {
  const sizes = recording.map((message) => Buffer.byteLength(JSON.stringify(message)));
  const size = sizes.reduce((sum, of) => sum + of, 0);
  let held = 0;
  let rewritten = 0;
  for (const turn of recorded_turns(recording)) {
    held += turn.user.length + turn.assistant.length;
    rewritten += sizes.slice(0, held).reduce((sum, of) => sum + of, 0);
  }
  note(`the conversation              ${kilobytes(size).padStart(12)}`);
  note(`written until its end         ${kilobytes(written).padStart(12)}   kill and resumption included`);
  note(`the whole file after each turn${kilobytes(rewritten).padStart(12)}   what rewriting would have come to`);
  note(
    `written after it              ${kilobytes(after_it).padStart(12)}   fork, rewind, children, checkpoint, conflict`,
  );
  claim(
    written <= 4 * size,
    `${(written / size).toFixed(1)} bytes written for each byte of the conversation, 4 at most`,
  );
}
