/**
 * Prints the file operations of a scenario, or writes the directories that a crash at one moment can leave.
 *
 * Usage:
 *   npx tsx test/verification/crash-states/replay.ts                    prints the names of the scenarios
 *   npx tsx test/verification/crash-states/replay.ts NAME               prints the file operations of each step
 *   npx tsx test/verification/crash-states/replay.ts NAME N DIRECTORY   writes what a crash before operation N can leave
 */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Holdings } from "./crash-model.js";
import { enumerate } from "./enumerate.js";
import { look, type Verdict } from "./judge.js";
import type { LogEntry } from "./logged-disk.js";
import { type MemoryDisk, ROOT_INODE } from "./memory-disk.js";
import type { Recording } from "./record.js";
import { recorded, recordings } from "./scenarios.js";

const [name, moment, target] = process.argv.slice(2);

/** Writes what a disk holds to a real directory. */
async function write_disk(disk: MemoryDisk, inode: number, path: string): Promise<void> {
  const node = disk.node(inode);
  if (node.kind === "directory") {
    await mkdir(path, { recursive: true, mode: node.mode });
    for (const [entry, below] of node.entries) {
      await write_disk(disk, below, join(path, entry));
    }
  } else if (node.kind === "file") {
    await writeFile(path, node.data, { mode: node.mode });
  } else {
    await symlink(node.target, path);
  }
}

function describe(entry: LogEntry, number: number): string[] {
  if (entry.kind === "begin" || entry.kind === "end") {
    return entry.kind === "begin" && !entry.change.is_traced ? [`\n${entry.label}`] : [];
  }
  const size = entry.kind === "write" ? `, ${entry.data.length} bytes at ${entry.position}` : "";
  return [`${String(number).padStart(4)}  ${entry.label}${size}`];
}

function print_operations({ log }: Recording): void {
  console.log(log.flatMap(describe).join("\n"));
}

async function write_states(recording: Recording, at: number, directory: string): Promise<void> {
  const states: [Holdings, Verdict][] = [];
  await enumerate(
    { ...recording, log: recording.log.slice(0, at), known: new Map<string, Verdict>() },
    {
      modes: ["strict", "ordered"],
      depth: { changes: 4, fates: 27, samples: 3 },
      seed: 1,
      judge: look,
      mutated: { log: recording.log.slice(0, at), from: at },
      on_new: (state, verdict) => states.push([state, verdict]),
    },
  );
  for (const [number, [state, { found, problem }]] of states.entries()) {
    const path = join(directory, String(number + 1));
    await write_disk(state.disk(recording.live), ROOT_INODE, path);
    console.log(`${path}: ${problem ?? JSON.stringify(Object.fromEntries(found)).slice(0, 300)}`);
  }
}

const all = recordings();
const chosen = all.find((one) => one.name === name);
if (name === undefined) {
  console.log(all.map((one) => one.name).join("\n"));
} else if (chosen === undefined) {
  throw new Error(`there is no scenario "${name}"; without a name all names are printed`);
} else if (moment === undefined || target === undefined) {
  print_operations(await recorded(chosen));
} else {
  await write_states(await recorded(chosen), Number(moment), target);
}
