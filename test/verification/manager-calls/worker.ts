/** A process that runs the sequences it is told to, in virtual time throughout. */
import process from "node:process";
import type { Task } from "./search.js";
import { VirtualTime } from "./virtual-time.js";

const time = new VirtualTime(true);
time.begin(); // before anything keeps a timer of its own
const { search } = await import("./search.js");

process.on("message", (task: Task) => {
  search(task, time, (line) => process.send?.({ line })).then(
    (found) => process.send?.({ found }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.stack : String(error) }),
  );
});
process.send?.({ is_ready: true });
