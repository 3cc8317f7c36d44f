import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SHARED_MEMORY = "/dev/shm";

export interface NewDirectory {
  path: string;
  /** Removes the directory with all that is in it. */
  remove: () => void;
}

/** Returns the place for files that wait for no device. A system without one has its temporary directory instead. */
export function memory_place(): string {
  return process.env["SESSION_TEST_MEMORY"] ?? (fs.existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir());
}

/** Makes a directory that nothing else uses. */
export function new_directory(above = tmpdir()): NewDirectory {
  const path = fs.mkdtempSync(join(above, "session-test-"));
  return { path, remove: () => fs.rmSync(path, { recursive: true, force: true }) };
}

/** The same for callers that wait. */
export async function temporary_directory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const { path, remove } = new_directory();
  return { path, remove: async () => remove() };
}
