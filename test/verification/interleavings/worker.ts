/** A process that explores the pairs it is told to. */
import process from "node:process";
import type { Settings } from "./explorer.js";
import { is_complete, Share } from "./share.js";

export type Task =
  | { kind: "explore"; pair: number; preemptions: number; time_ms: number; is_last: boolean }
  | { kind: "crash"; pair: number; share: number; seed: number };

const share = new Share(JSON.parse(process.argv[2] ?? "{}") as Settings);

process.on("message", (task: Task) => {
  perform(task).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.stack : String(error) }),
  );
});

async function perform(task: Task): Promise<unknown> {
  if (task.kind === "crash") {
    return share.crash(task.pair, task);
  }
  const progress = await share.explore(task.pair, task);
  if (task.is_last || is_complete(progress)) {
    share.leave(task.pair);
  }
  return progress;
}
