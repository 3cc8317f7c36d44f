import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import type { FileSessionFormat } from "@simulacra-ai/session";
import type { Method, Outcome } from "../method.js";
import { bundle } from "../power/bundle.js";
import { Disks, no_small_disks } from "../power/disk.js";
import { fill_up, PAGE_BYTES, WORK } from "../real/full-disk.js";
import { run_limited, type Limited } from "../real/run-child.js";

const FORMATS: readonly FileSessionFormat[] = ["json", "ndjson"];

/** So many pages are more than anything here needs. */
const MAX_PAGES = 100;
/** How many of the steps `npm test` takes: every so manieth. */
const SHORT_STRIDE = 9;

/** A disk that is full at every 4 KiB in the course of a fold, a flush, a save. */
export const FULL_DISK: Method = {
  name: "full disk",
  unavailable: no_small_disks,

  async run({ full, seed }): Promise<Outcome> {
    using disks = new Disks();
    const losses: string[] = [];
    let rounds = 0;
    for (const format of FORMATS) {
      for (const work of Object.keys(WORK) as (keyof typeof WORK)[]) {
        const stride = full ? 1 : SHORT_STRIDE;
        let has_failed = false;
        for (let pages = full ? 0 : seed % stride; pages < MAX_PAGES; pages += stride) {
          const found = await fill_up(disks, work, format, pages * PAGE_BYTES);
          rounds += 1;
          has_failed ||= found.has_run_out;
          losses.push(...found.losses.map((loss) => `${format}, ${work}, ${pages} pages free: ${loss}`));
          if (!found.has_run_out && pages > stride) {
            break;
          }
        }
        if (!has_failed) {
          losses.push(`${format}, ${work}: the disk was never full`);
        }
      }
    }
    return { rounds, unit: "fillings", losses };
  },
};

/** What a process runs into that may have only so many files, or so large ones. */
export const LIMITS: Method = {
  name: "limits",
  unavailable: () => (can_run("bash", "-c", "ulimit -f 100 -n 100") ? undefined : "needs bash, and its ulimit"),

  run: (scale) =>
    in_children((format) => {
      const sizes = scale.full ? Array.from({ length: 20 }, (_, n) => 8 * n + 1) : [9, 70];
      const free = scale.full ? [0, 1, 2, 3, 4, 5, 6] : [0, 2];
      return [
        ...sizes.map((kilobytes) => ({
          name: `files of ${kilobytes} KiB`,
          command: under(`ulimit -f ${kilobytes}`),
          task: { format },
          causes: ["EFBIG"],
        })),
        ...free.map((free_descriptors) => ({
          name: `${free_descriptors} more files`,
          command: under("ulimit -n 80"),
          task: { format, free_descriptors },
          causes: ["EMFILE"],
        })),
      ];
    }),
};

/** Syncs that the system itself fails. */
export const FAILED_SYNCS: Method = {
  name: "failed syncs",
  unavailable: () =>
    can_run("strace", "-qq", "-o", "/dev/null", "true")
      ? undefined
      : "needs strace, which may trace processes: the Debian package strace",

  async run(scale) {
    const directory = fs.mkdtempSync(join(os.tmpdir(), "syncs-"));
    const trace = join(directory, "trace");
    const all = Array.from({ length: 24 }, (_, n) => ({
      call: n % 2 === 0 ? "fsync" : "fdatasync",
      when: `${1 + (n >> 1)}${n % 6 > 3 ? "+" : ""}`,
    }));
    const some = [
      { call: "fsync", when: `${3 + (scale.seed % 4)}` },
      { call: "fdatasync", when: `${1 + (scale.seed % 4)}` },
    ];
    try {
      return await in_children((format) =>
        (scale.full ? all : some).map(({ call, when }) => ({
          name: `${call} ${when}`,
          command: strace(trace, call, when),
          task: { format },
          causes: ["EIO"],
          least_failures: () => injected_into_journals(trace),
        })),
      );
    } finally {
      fs.rmSync(directory, { recursive: true, force: true });
    }
  },
};

/** How many syncs of a journal failed: behind each is a step that has to say so. A fold may fail in silence. */
function injected_into_journals(trace: string): number {
  const lines = fs.readFileSync(trace, "utf8").split("\n");
  return lines.filter((line) => line.includes(".journal>") && line.includes("(INJECTED)")).length;
}

interface Run {
  name: string;
  command: string[];
  task: Parameters<typeof run_limited>[2];
  causes: string[];
  /** How many steps have to have failed; known afterwards. */
  least_failures?: () => number;
}

async function in_children(runs_of: (format: FileSessionFormat) => Run[]): Promise<Outcome> {
  const { program, remove } = await bundle(new URL("../real/child.ts", import.meta.url));
  try {
    const runs = FORMATS.flatMap((format) => runs_of(format).map((run) => ({ ...run, format })));
    const losses: string[] = [];
    let failures = 0;
    for (const { name, format, command, task, causes, least_failures } of runs) {
      const found: Limited = await run_limited(program, command, task, causes);
      const least = least_failures?.() ?? 0;
      if (found.failures < least) {
        found.losses.push(`${least} syncs of the journal failed, and ${found.failures} steps said so`);
      }
      failures += found.failures;
      losses.push(...found.losses.map((loss) => `${format}, ${name}: ${loss}`));
    }
    if (failures === 0) {
      losses.push("nothing failed in any of the processes");
    }
    return { rounds: runs.length, unit: "processes", losses, note: `${failures} steps failed` };
  } finally {
    remove();
  }
}

function under(limit: string): string[] {
  return ["bash", "-c", `${limit} && exec "$@"`, "bash"];
}

/** With one thread for all that waits: strace counts the calls of each thread on its own. */
function strace(trace: string, call: string, when: string): string[] {
  const inject = ["-e", `trace=${call}`, "-e", `inject=${call}:error=EIO:when=${when}`];
  return ["env", "UV_THREADPOOL_SIZE=1", "strace", "-f", "-y", "-qq", "-o", trace, ...inject];
}

function can_run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args).status === 0;
}
