import fs from "node:fs";
import { join } from "node:path";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { seeded_random } from "../../support/random.js";
import { is_over, make_rounds, type Budget } from "../budget.js";
import type { Method } from "../method.js";
import { acknowledged_in, invalid_files, leftovers_after_next_writer, losses_in } from "../processes/kill-check.js";
import type { KillMoment } from "../processes/kill-switch.js";
import { plan_manager_step } from "../processes/manager-script.js";
import { Plan, plan_store_step, SIZES, type Random } from "../processes/script.js";
import { read_facts, type Facts } from "../processes/session-facts.js";
import { with_processes, type StartProcess } from "../processes/worker-process.js";

const STEPS = 24;
const KILLS_PER_DIRECTORY = 25;
/** So many lives in a row have every format, and both a store and a manager. */
const KINDS_OF_LIVES = 4;

interface Tally {
  losses: string[];
  kills: number;
  locks: number;
  temporary_files: number;
  torn: number;
}

/**
 * A process works on a directory of sessions until it is killed, at any moment; then the next one goes on there. After
 * every kill each session is as it was acknowledged, or as the step under way would have made it.
 */
export const KILLS: Method = {
  name: "kills",
  async run({ full, seed, until }) {
    const lives = full ? 40 : KINDS_OF_LIVES;
    const kills = full ? KILLS_PER_DIRECTORY : 5;
    const tally: Tally = { losses: [], kills: 0, locks: 0, temporary_files: 0, torn: 0 };
    await with_processes(async (in_memory, start, on_device) => {
      await make_rounds([...Array(lives).keys()], { until, least: KINDS_OF_LIVES, lanes: 2 }, async (life) => {
        const directory = life % 4 === 0 || life % 4 === 3 ? on_device : in_memory;
        const random = seeded_random(seed * 1000 + life);
        await kill_again_and_again({ directory, start, life, kills, until, random }, tally);
      });
    });
    const { losses, locks, temporary_files, torn } = tally;
    const note = `left behind by the killed: ${locks} locks, ${temporary_files} temporary files, ${torn} torn journals`;
    const progress = { done: tally.kills, planned: lives * kills };
    return { rounds: tally.kills, unit: "kills", progress, losses, note };
  },
};

interface Life extends Budget {
  directory: string;
  start: StartProcess;
  /** Which of the forms and sizes it is. */
  life: number;
  kills: number;
  random: Random;
}

async function kill_again_and_again(
  { directory, start, life, kills, until, random }: Life,
  tally: Tally,
): Promise<void> {
  const root = join(directory, `life-${life}`);
  fs.mkdirSync(root);
  const format = life % 2 === 0 ? "json" : "ndjson";
  const has_manager = Math.floor(life / 2) % 2 === 1;
  const sizes = SIZES[random.below(SIZES.length)] ?? SIZES[0];
  const long_lived = new FileSessionStore(root);
  let facts: Facts = new Map();
  let worker = start();
  for (let kill = 0; kill < kills && (kill === 0 || !is_over({ until })); kill += 1) {
    const plan = new Plan(random, facts, `${life}-${kill}`, sizes);
    let current: string | undefined;
    while (plan.steps.length < STEPS) {
      if (has_manager) {
        current = plan_manager_step(plan, current);
      } else {
        plan_store_step(plan);
      }
    }
    const killed = worker;
    worker = start();
    killed.run({
      kind: "script",
      root,
      format,
      steps: plan.steps.map(({ step }) => step),
      killed: some_moment(root, random, sizes[1]),
    });
    await killed.ended;
    tally.kills += 1;
    const where = `seed's life ${life} (${format}, ${has_manager ? "manager" : "store"}), kill ${kill}`;
    const lose = (losses: string[]) => tally.losses.push(...losses.map((loss) => `${where}: ${loss}`));
    lose(killed.starting_with("error"));
    count_leftovers(root, tally);
    lose(invalid_files(root));
    const read = await read_facts(root);
    lose([...read.unreadable, ...losses_in(read.facts, plan.steps, acknowledged_in(killed.lines))]);
    facts = read.facts;
    if (random.below(2) === 0) {
      const next_writer = random.below(2) === 0 ? long_lived : new FileSessionStore(root);
      const left = await leftovers_after_next_writer(root, next_writer);
      lose(next_writer === long_lived ? left.filter((line) => !is_of_a_fold(line)) : left);
      lose(invalid_files(root));
    }
  }
  await worker.kill();
  fs.rmSync(root, { recursive: true });
}

/** After some steps, and in the midst of one. */
function some_moment(root: string, random: Random, longest: number): KillMoment {
  const is_long = longest > 50_000;
  const moment = { after_steps: random.below(STEPS / 2), delay_ms: random.below(is_long ? 20_000 : 4_000) / 1000 };
  return is_long && random.below(3) === 0 ? { ...moment, growing_in: root } : moment;
}

function count_leftovers(root: string, tally: Tally): void {
  const names = fs.readdirSync(root);
  const count = (ending: string) => names.filter((name) => name.endsWith(ending)).length;
  tally.locks += count(".lock");
  tally.temporary_files += count(".tmp");
  tally.torn += names.filter((name) => name.endsWith(".journal") && is_torn(join(root, name))).length;
}

/** What a fold beside the appends has left a store knows from its first look at the directory, and not later. */
function is_of_a_fold(line: string): boolean {
  return line.includes(".tmp");
}

/** Every whole record ends with a line feed. */
function is_torn(path: string): boolean {
  const bytes = fs.readFileSync(path);
  return bytes.length > 0 && bytes.at(-1) !== 0x0a;
}
