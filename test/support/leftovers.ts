import process from "node:process";
import { begin_run } from "./run-directories.js";

/** Fails a run of vitest that leaves anything in its temporary directories. */
export default function set_up(): () => void {
  const { end } = begin_run();
  return () => {
    const left = end();
    if (left.length > 0) {
      console.error(`The tests left behind:\n${left.join("\n")}`);
      process.exitCode = 1; // vitest reports an error of a teardown, and exits with 0
    }
  };
}
