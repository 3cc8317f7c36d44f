import process from "node:process";
import { timers } from "../../../src/async/timers.js";
import "../lock-kind.js";
import { hear, say } from "./child-io.js";
import { contend, type ContendTask } from "./contend.js";
import { hold, type HoldTask } from "./hold.js";
import { append_all, append_each, type AppendEachTask, type AppendTask } from "./append.js";
import { run_script, type ScriptTask } from "./run-script.js";
import { converse, type ConverseTask } from "./converse.js";
import { watch, type WatchTask } from "./watch.js";

/** What another process is to do. */
export type Task = { clock_rate?: number } & (
  | ({ kind: "script" } & ScriptTask)
  | ({ kind: "append" } & AppendTask)
  | ({ kind: "append each" } & AppendEachTask)
  | ({ kind: "converse" } & ConverseTask)
  | ({ kind: "watch" } & WatchTask)
  | ({ kind: "contend" } & ContendTask)
  | ({ kind: "hold" } & HoldTask)
);

/** What ages by the clock of the process ages faster. */
function speed_up(rate: number): void {
  const { now } = timers;
  timers.now = () => now() * rate;
}

async function run(task: Task): Promise<void> {
  switch (task.kind) {
    case "script":
      return run_script(task);
    case "append":
      return append_all(task);
    case "append each":
      return append_each(task);
    case "converse":
      return converse(task);
    case "watch":
      return watch(task);
    case "contend":
      return contend(task);
    case "hold":
      return hold(task);
  }
}

// It is started before it is needed, and learns what to do later.
const first = await hear();
if (first !== undefined) {
  const task = JSON.parse(first) as Task;
  speed_up(task.clock_rate ?? 1);
  try {
    await run(task);
    process.stdin.destroy(); // nothing more is to come
  } catch (error) {
    say("error", error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exit(1); // it is not to wait for more
  }
}
