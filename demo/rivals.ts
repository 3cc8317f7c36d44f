import type { ChildProcess } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import type { Message } from "@simulacra-ai/core";
import { claim, note, short, step } from "./claims.js";
import { end_of, start } from "./processes.js";
import type { RivalMessage, RivalReport } from "./rival.js";
import { history, metadata, stored } from "./sessions.js";

const QUESTIONS = [
  ["Shall we release it today?", "Then who tells the users?"],
  ["Shall we wait for a review?", "Then who could look at it?"],
];

/** Lets two processes continue a session from the same point, and checks that both histories live on. */
export async function run_rivals(directory: string, id: string, before: Message[]): Promise<{ bytes: number }> {
  step(10, "Two processes continue the same session from the same point, at the same moment");
  const reports = await race(directory, id);
  const first = reports.find(({ conflicts }) => conflicts.length === 0);
  const second = reports.find(({ conflicts }) => conflicts.length === 1);
  const conflict = second?.conflicts[0];
  claim(
    reports.every(({ loaded }) => loaded === before.length) &&
      first !== undefined &&
      second !== undefined &&
      conflict !== undefined,
    `both had loaded its ${before.length} messages; the one whose save came second was told of the conflict:`,
  );
  const { fork_id, code, text, current_id } = conflict;
  note(`  conflict { id: ${short(conflict.id)}, fork_id: ${short(fork_id)}, error: ${text.replace(id, short(id))} }`);
  claim(
    conflict.id === id && code === "conflict" && current_id === fork_id && second.session_id === fork_id,
    `its manager had moved current_session_id to ${short(fork_id)} by then, and went on there`,
  );
  claim(
    first.session_id === id && (await holds_all(directory, id, before, first)),
    `the session holds all ${first.acknowledged.length} messages that were acknowledged to the first`,
  );
  const { parent_id } = await metadata(directory, fork_id);
  const own = await stored(directory, fork_id);
  claim(
    parent_id === id &&
      isDeepStrictEqual(own, second.acknowledged) &&
      (await holds_all(directory, fork_id, before, second)),
    `its fork ${short(fork_id)} holds all ${own.length} of the second, and inherits the ${before.length} before`,
  );
  return { bytes: first.bytes + second.bytes };
}

/** Starts the rivals, gives both the word once both have loaded the session, and waits for their ends. */
async function race(directory: string, id: string): Promise<RivalReport[]> {
  const rivals = QUESTIONS.map((questions) =>
    start("rival.ts", [directory, id, ...questions], ["ignore", "inherit", "inherit", "ipc"]),
  );
  let loaded = 0;
  const one_has_loaded = () => {
    loaded += 1;
    if (loaded === rivals.length) {
      rivals.forEach((rival) => rival.send("go"));
    }
  };
  const reports = rivals.map((rival) => report_of(rival, one_has_loaded));
  try {
    return await Promise.all(reports);
  } finally {
    rivals.forEach((rival) => rival.kill("SIGKILL")); // where one failed, the other still waits for the word
    await Promise.allSettled(reports);
  }
}

async function report_of(rival: ChildProcess, has_loaded: () => void): Promise<RivalReport> {
  let report: RivalReport | undefined;
  rival.on("message", (message) => {
    const said = message as RivalMessage;
    if (said === "loaded") {
      has_loaded();
    } else {
      report = said;
    }
  });
  const { code, signal } = await end_of(rival);
  if (code !== 0 || report === undefined) {
    throw new Error(`a process that continued the session failed (${signal ?? `exit code ${code}`})`);
  }
  return report;
}

/** The recording, then both turns, as they were acknowledged. */
async function holds_all(
  directory: string,
  id: string,
  before: readonly Message[],
  { acknowledged }: RivalReport,
): Promise<boolean> {
  const wanted = [...before, ...acknowledged];
  return acknowledged.length === 4 && isDeepStrictEqual(await history(directory, id), wanted);
}
