import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { FileSessionStore } from "@simulacra-ai/session";
import { texts } from "../../support/messages.js";
import { new_directory } from "../../support/temporary-directory.js";
import { problem_of_next_writer } from "./account.js";
import { STEPS, type ChildTask, type StepResult } from "./child-task.js";

export interface Limited {
  /** Losses, a line each. */
  losses: string[];
  /** How many steps failed. */
  failures: number;
}

/** Runs the program under a limit, and looks at what it leaves. `command`: what comes before `node program task`. */
export async function run_limited(
  program: string,
  command: readonly string[],
  task: Omit<ChildTask, "root">,
  causes: readonly string[],
): Promise<Limited> {
  const { path, remove } = new_directory();
  const root = join(path, "sessions");
  try {
    const { lines, problem } = await output_of([
      ...command,
      process.execPath,
      program,
      JSON.stringify({ ...task, root }),
    ]);
    const results = lines.map((line) => JSON.parse(line) as StepResult);
    const losses = problem === undefined ? [] : [problem];
    for (const [code, cause] of results.flatMap(({ failed }) => (failed ? [failed] : []))) {
      if (code !== "storage" || !causes.includes(cause)) {
        losses.push(`a step fails with ${code}, because of ${cause}`);
      }
    }
    const store = new FileSessionStore(root, { format: task.format });
    const found = texts((await store.load("s"))?.messages) ?? [];
    const done = results.filter(({ text, failed }) => text !== "" && failed === undefined).map(({ text }) => text);
    const numbers = found.map((text) => STEPS.indexOf(text));
    const lost = done.filter((text) => !found.includes(text));
    if (lost.length > 0) {
      losses.push(`acknowledged and not there: ${lost.map((text) => text.slice(0, 3)).join()}`);
    }
    if (numbers.some((number, at) => number < 0 || number <= (numbers[at - 1] ?? -1))) {
      losses.push(`there is ${numbers.join()}`);
    }
    losses.push(...(await problem_of_next_writer(root, store, task.format)));
    return { losses, failures: results.filter(({ failed }) => failed !== undefined).length };
  } catch (error) {
    return { losses: [String(error)], failures: 0 };
  } finally {
    remove();
  }
}

async function output_of([command = "", ...args]: string[]): Promise<{ lines: string[]; problem?: string }> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let [output, errors] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const ended = await new Promise<string>((resolve, reject) => {
    child.on("error", reject).on("close", (status, signal) => resolve(String(signal ?? status)));
  });
  const lines = output.split("\n").slice(0, -1);
  return { lines, ...(ended !== "0" && { problem: `the process ended with ${ended}: ${errors.slice(0, 300)}` }) };
}
