import fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { name_of } from "./append.js";
import { MINE, MINE_LONG, type Act, type Held } from "./hold.js";
import { leftovers_after_next_writer } from "./kill-check.js";
import { tag_of, tagged } from "./tags.js";
import type { StartProcess } from "./worker-process.js";

const ACTS: Act[] = ["append", "append long", "replace", "save", "flush", "update", "delete"];
/** More than any act has. */
const OPERATIONS = 75;
const PATIENCE_MS = 60_000;
const BEFORE = ["one:20", "two:20"];
const THEIRS = name_of("theirs", 0);

export interface Stop {
  format: FileSessionFormat;
  /** Every so many operations of an act the holder is stopped, from the `first` on; the first of all is 1. */
  step: number;
  first?: number;
  /** Whether others can tell that the holder lives: then they wait for it, however long. */
  is_judged: boolean;
  stopped_ms: number;
  clock_rate: number;
  /** A command that runs the holder elsewhere; otherwise a holder that is not judged is disguised. */
  wrapper?: string[];
  /** The clock of the others. */
  others?: { wrapper: string[]; environment: NodeJS.ProcessEnv };
}

/**
 * A process is stopped in the midst of changes, for longer than a lock can age, while another one appends to the same
 * sessions; then it goes on. Returns what was lost, and how many changes were stopped.
 */
export async function stop_holders(root: string, start: StartProcess, stop: Stop) {
  const { format, is_judged, clock_rate, wrapper, step, first = 1 } = stop;
  const held: Held[] = ACTS.flatMap((act) =>
    Array.from({ length: Math.ceil(OPERATIONS / step) }, (_, n) => first + n * step).map((before) => ({
      id: `${act.replace(" ", "-")}-${before}`,
      act,
      before,
    })),
  );
  const store = new FileSessionStore(root, { format });
  for (const { id } of held) {
    await store.save(id, [tagged(BEFORE[0] ?? "")]);
    await store.append(id, [tagged(BEFORE[1] ?? "")], { revision: (await store.load(id))?.revision ?? "" });
  }
  const holder = start(wrapper);
  const is_disguised = !is_judged && wrapper === undefined;
  holder.run({ kind: "hold", root, format, held, out_of_sight: is_disguised });
  await holder.said("all");
  const pid = wrapper === undefined ? holder.pid : only_child_of(holder.pid);
  process.kill(pid, "SIGSTOP");
  const locked = new Set(held.map(({ id }) => id).filter((id) => is_there(join(root, `${id}.lock`))));
  const other = start(stop.others?.wrapper, stop.others?.environment);
  const sessions = held.map(({ id }) => id);
  other.run({ kind: "append each", root, format, sessions, name: "theirs", clock_rate });
  await other.said("begun");
  const began = performance.now();
  const losses: string[] = [];
  const early = () => other.lines.map((line) => line.split(" ")[1] ?? "").filter((id) => locked.has(id));
  if (is_judged) {
    await sleep(stop.stopped_ms);
    losses.push(...early().map((id) => `${id}: the lock of a living process was not waited for`));
  } else {
    await sleep(8_000 / clock_rate);
    losses.push(...early().map((id) => `${id}: a lock was broken before its time`));
    const is_patient = sleep(PATIENCE_MS, "late", { ref: false });
    if ((await Promise.race([other.ended, is_patient])) === "late") {
      losses.push(`the lock of a process out of sight is never broken: ${other.lines.length} of ${held.length}`);
    }
    await sleep(Math.max(0, stop.stopped_ms - (performance.now() - began)));
  }
  process.kill(pid, "SIGCONT");
  holder.tell("go on");
  await Promise.all([holder.finish(), other.ended]);
  losses.push(...[...holder.lines, ...other.lines].filter((line) => line.startsWith("error")));
  const said = new Map(holder.starting_with("result ").map((line) => [line.split(" ")[1], line]));
  const where = new Map(holder.starting_with("held ").map((line) => [line.split(" ")[1], line]));
  for (const one of held) {
    const mine = said.get(one.id)?.split(" ").slice(2).join(" ") ?? "no result";
    const theirs = other.lines.find((line) => line.split(" ")[1] === one.id)?.split(" ")[0] ?? "nothing";
    const found = await problems_of(root, one, { mine, theirs, was_locked: locked.has(one.id) });
    losses.push(...found.map((loss) => `${one.id} ${where.get(one.id)}: ${loss} (mine: ${mine}, theirs: ${theirs})`));
  }
  losses.push(...(await leftovers_after_next_writer(root, new FileSessionStore(root))));
  return { losses, stopped: where.size, locked: locked.size };
}

async function problems_of(
  root: string,
  { id, act }: Held,
  { mine, theirs, was_locked }: { mine: string; theirs: string; was_locked: boolean },
): Promise<string[]> {
  const problems: string[] = [];
  const is_done = mine === "done";
  if (!is_done && !/^(conflict|not_found|storage .* may be stored or not)/.test(mine)) {
    problems.push("it failed in another way than by the loss of its lock");
  }
  let tags: string[] | undefined;
  try {
    tags = (await new FileSessionStore(root).load(id))?.messages.map(tag_of);
  } catch (error) {
    return [...problems, String(error)];
  }
  const count = (tag: string) => tags?.filter((other) => other === tag).length ?? 0;
  if (mine.startsWith("conflict") && count(MINE) > 0) {
    problems.push("it is stored, and failed with a conflict");
  }
  if (tags === undefined) {
    return act === "delete" && (is_done || theirs === "gone") ? problems : [...problems, "it is gone"];
  }
  const is_replaced = (act === "save" || act === "replace" || act === "delete") && is_done;
  const must: string[] = [
    ...(is_replaced || count(MINE) > 0 ? [] : BEFORE),
    ...(theirs === "stored" && (was_locked || !is_replaced) ? [THEIRS] : []), // a save that comes later replaces it
    ...(is_done && act === "append" ? [MINE] : []),
    ...(is_done && act === "append long" ? [MINE_LONG] : []),
  ];
  problems.push(...must.filter((tag) => count(tag) === 0).map((tag) => `${tag} is lost, of ${tags.join()}`));
  problems.push(...tags.filter((tag) => count(tag) > 1).map((tag) => `${tag} is there twice`));
  return problems;
}

function is_there(path: string): boolean {
  return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** The process that a command like `unshare --fork` runs. */
function only_child_of(pid: number): number {
  return Number(fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim());
}
