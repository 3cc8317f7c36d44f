import process from "node:process";
import { sleep, timers } from "../../../async/timers.js";
import { is_errno } from "./file-layer.js";

/** Windows refuses a change of a name in one of these ways while any program has the file open. */
const REFUSED_A_WHILE = ["EPERM", "EBUSY", "EACCES"];
const PATIENCE_MS = 2_000;

/** Changes a name. Windows is asked again for two seconds: virus scanners and indexers open every new file for a moment. */
export async function patiently(
  change: () => void | Promise<void>,
  is_needed = process.platform === "win32",
): Promise<void> {
  const end = timers.now() + PATIENCE_MS;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    try {
      return await change();
    } catch (error) {
      if (!is_needed || !is_errno(error, ...REFUSED_A_WHILE) || timers.now() >= end) {
        throw error;
      }
    }
    await sleep(wait);
  }
}
