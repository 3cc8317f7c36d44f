import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new directory, and what removes it with all that is in it. */
export async function temporary_directory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "session-test-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
