import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import type { FileSessionFormat } from "@simulacra-ai/session";
import { in_proportion, make_rounds, reordered } from "../budget.js";
import type { Method, Outcome, Scale } from "../method.js";
import { new_directory } from "../../support/temporary-directory.js";
import { bundle } from "../../support/bundle.js";
import { Disks, no_small_disks } from "../power/disk.js";
import { fill_up, PAGE_BYTES, WORK } from "../real/full-disk.js";
import { run_limited, type Limited } from "../real/run-child.js";

const FORMATS: readonly FileSessionFormat[] = ["json", "ndjson"];

/** More pages than anything here needs. */
const MAX_PAGES = 100;
/** A series of fillings leaves so many pages more each time. `npm run test:verification` makes one series of each kind. */
const FULL_STRIDE = 4;
const SHORT_STRIDE = 9;

/** A disk that is full at every 4 KiB in the course of a fold, a flush, a save. */
export const FULL_DISK: Method = {
  name: "full disk",
  unavailable: no_small_disks,

  async run({ full, seed, until }): Promise<Outcome> {
    using disks = new Disks();
    const losses: string[] = [];
    const failed = new Set<string>();
    let rounds = 0;
    const stride = full ? FULL_STRIDE : SHORT_STRIDE;
    const firsts = full ? reordered(Array(stride).keys(), seed) : [seed % stride];
    const kinds = FORMATS.flatMap((format) =>
      (Object.keys(WORK) as (keyof typeof WORK)[]).map((work) => firsts.map((first) => ({ format, work, first }))),
    );
    const limits = { until, least: kinds.length };
    const progress = await make_rounds(in_proportion(kinds), limits, async ({ format, work, first }) => {
      for (let pages = first; pages < MAX_PAGES; pages += stride) {
        const found = await fill_up(disks, work, format, pages * PAGE_BYTES);
        rounds += 1;
        losses.push(...found.losses.map((loss) => `${format}, ${work}, ${pages} pages free: ${loss}`));
        if (found.has_run_out) {
          failed.add(`${format}, ${work}`);
        } else if (pages > stride) {
          break;
        }
      }
    });
    const never = kinds.flatMap(([one]) => (one ? [`${one.format}, ${one.work}`] : [])).filter((of) => !failed.has(of));
    losses.push(...never.map((of) => `${of}: the disk was never full`));
    return { rounds, unit: "fillings", progress: { ...progress, of: "series" }, losses };
  },
};

/** Failures of a process that may have only so many files, or so large ones. */
export const LIMITS: Method = {
  name: "limits",
  unavailable: () => (can_run("bash", "-c", "ulimit -f 100 -n 100") ? undefined : "needs bash, and its ulimit"),

  run: (scale) =>
    in_children(scale, (format) => {
      const sizes = scale.full ? Array.from({ length: 20 }, (_, n) => 8 * n + 1) : [9, 70];
      const free = scale.full ? [0, 1, 2, 3, 4, 5, 6] : [0, 2];
      return [
        sizes.map((kilobytes) => ({
          name: `files of ${kilobytes} KiB`,
          command: under(`ulimit -f ${kilobytes}`),
          task: { format },
          causes: ["EFBIG"],
        })),
        free.map((free_descriptors) => ({
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
    const { path, remove } = new_directory();
    const trace = join(path, "trace");
    const all = Array.from({ length: 12 }, (_, n) => n);
    try {
      return await in_children(scale, (format) =>
        ["fsync", "fdatasync"].map((call, kind) =>
          (scale.full
            ? all.map((n) => `${1 + n}${(2 * n + kind) % 6 > 3 ? "+" : ""}`)
            : [`${(call === "fsync" ? 3 : 1) + (scale.seed % 4)}`]
          ).map((when) => ({
            name: `${call} ${when}`,
            command: strace(trace, call, when),
            task: { format },
            causes: ["EIO"],
            least_failures: () => injected_into_journals(trace),
          })),
        ),
      );
    } finally {
      remove();
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

/** `kinds_of`: what is run in a format, one list for each kind. */
async function in_children({ seed, until }: Scale, kinds_of: (format: FileSessionFormat) => Run[][]): Promise<Outcome> {
  const { program, remove } = await bundle(new URL("../real/child.ts", import.meta.url));
  try {
    const kinds = FORMATS.flatMap((format) =>
      kinds_of(format).map((runs) => reordered(runs, seed).map((run) => ({ ...run, format }))),
    );
    const losses: string[] = [];
    let failures = 0;
    const limits = { until, least: kinds.length };
    const progress = await make_rounds(in_proportion(kinds), limits, async (run) => {
      const { name, format, command, task, causes, least_failures } = run;
      const found: Limited = await run_limited(program, command, task, causes);
      const least = least_failures?.() ?? 0;
      if (found.failures < least) {
        found.losses.push(`${least} syncs of the journal failed, and ${found.failures} steps said so`);
      }
      failures += found.failures;
      losses.push(...found.losses.map((loss) => `${format}, ${name}: ${loss}`));
    });
    if (failures === 0) {
      losses.push("nothing failed in any of the processes");
    }
    return { rounds: progress.done, unit: "processes", progress, losses, note: `${failures} steps failed` };
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
