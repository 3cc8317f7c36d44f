import { InMemorySessionStore, type SessionManagerOptions } from "@simulacra-ai/session";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { ROOT } from "../damage/sample.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import type { Action } from "./manager-actions.js";
import { ManagerWorld } from "./manager-world.js";
import { type Open, open_files } from "./store-run.js";

/**
 * The same turns over files and in memory: the same answers, the same conversation after each, and the same sessions
 * in the end.
 * @throws {Error} where they differ.
 */
export async function run_manager(
  format: FileSessionFormat,
  actions: readonly Action[],
  options: SessionManagerOptions,
  open_store: Open = open_files,
): Promise<void> {
  const layer = new RecordingLayer();
  const memory = new InMemorySessionStore();
  const files = new ManagerWorld(() => open_store(format, layer), options);
  const oracle = new ManagerWorld(() => memory, options);
  for (const [n, action] of actions.entries()) {
    const [found, expected] = await Promise.all([files.perform(action), oracle.perform(action)]);
    if (found !== expected) {
      throw new Error(`action ${n + 1}: over files: ${found}; in memory: ${expected}`);
    }
  }
  const [found, expected] = [await files.end(), await oracle.end()];
  const missing = expected.filter((line) => !found.includes(line));
  const strange = found.filter((line) => !expected.includes(line));
  if (missing.length > 0 || strange.length > 0 || found.length !== expected.length) {
    throw new Error(`in the end, only over files: ${strange.join("; ")}; only in memory: ${missing.join("; ")}`);
  }
  if (files.errors.sort().join() !== oracle.errors.sort().join()) {
    throw new Error(`reported over files: ${files.errors.join()}; in memory: ${oracle.errors.join()}`);
  }
  const problems = await new FileSessionStore(ROOT, {}, layer).verify();
  if (problems.length > 0) {
    throw new Error(`verify finds ${problems.map(({ code, path }) => `${code} ${path}`).join()}`);
  }
}
