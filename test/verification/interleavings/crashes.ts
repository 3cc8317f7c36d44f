import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { ROOT } from "../crash-states/contents.js";
import { CrashMoment, with_left_lock } from "../crash-states/crash-model.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import type { MemoryDisk } from "../crash-states/memory-disk.js";
import { report } from "./explorer.js";
import type { Call } from "./history.js";
import { judge_aftermath, judge_answers } from "./judge.js";
import { ids_of, observer_of, run_order, type Options, type Scenario, type World } from "./run-order.js";

/** How the world was before an operation. */
interface Moment {
  step: number;
  disk: MemoryDisk;
  log_length: number;
  calls: Call[];
}

/** More of one order say no more. */
const MAX_LOSSES = 3;

/** An order that is cut off at chosen moments: one dies and the others go on, all die, or the power is cut. */
export class CrashedOrder {
  readonly rounds = { deaths: 0, kills: 0, cuts: 0 };
  readonly losses: string[] = [];
  readonly #scenario: Scenario;
  readonly #format: FileSessionFormat;
  readonly #choices: readonly number[];
  readonly #random: () => number;
  readonly #options: Options;

  constructor(
    scenario: Scenario,
    format: FileSessionFormat,
    choices: readonly number[],
    random: () => number,
    options: Options = {},
  ) {
    this.#options = options;
    this.#scenario = scenario;
    this.#format = format;
    this.#choices = choices;
    this.#random = random;
  }

  /** `share`: of all moments, how many are chosen. */
  async run(share: number): Promise<void> {
    const moments: Moment[] = [];
    const watch = (step: number, { disk, calls }: World) => {
      if (this.#random() < share) {
        const copies = calls.map((call) => ({ ...call }));
        moments.push({ step, disk: disk.disk.copy(), log_length: disk.log.length, calls: copies });
      }
    };
    const { world } = await run_order(
      this.#scenario,
      this.#format,
      { prefix: this.#choices },
      { ...this.#options, watch },
    );
    const device = new CrashMoment();
    let advanced = 0;
    for (const moment of moments) {
      if (this.losses.length >= MAX_LOSSES) {
        return;
      }
      await this.#one_dies(moment.step);
      this.rounds.kills += 1;
      await this.#judge(world, moment, { disk: moment.disk, calls: moment.calls, is_cut: false });
      world.disk.log.slice(advanced, moment.log_length).forEach((entry) => device.advance(entry));
      advanced = moment.log_length;
      // What was read may never have reached the device; what was acknowledged must have.
      const writes = moment.calls.filter(({ asked }) => asked.kind !== "load" && asked.kind !== "list");
      for (const state of device.states(world.disk.disk, this.#random)) {
        if (this.#random() < 0.2 && this.losses.length < MAX_LOSSES) {
          this.rounds.cuts += 1;
          await this.#judge(world, moment, { disk: state, calls: writes, is_cut: true });
        }
      }
    }
  }

  async #one_dies(at: number): Promise<void> {
    const actor = Math.floor(this.#random() * this.#scenario.scripts.length);
    const guide = { prefix: this.#choices.slice(0, at), victim: { actor, at } };
    const run = await run_order(this.#scenario, this.#format, guide, this.#options);
    this.rounds.deaths += 1;
    if (run.problems.length > 0) {
      this.losses.push(`${actor} dies before ${at}: ${report(run)}`);
    }
  }

  async #judge(
    of: World,
    { step }: Moment,
    { disk, calls, is_cut }: { disk: MemoryDisk; calls: readonly Call[]; is_cut: boolean },
  ): Promise<void> {
    const layer = new RecordingLayer(disk.copy());
    leave_locks(layer);
    const world: World = { ...of, disk: layer, calls: calls.map((call) => ({ ...call })) };
    const next = observer_of({ ...world, calls: [] });
    const problems = await judge_answers(world, observer_of(world), is_cut);
    problems.push(...(await judge_aftermath(layer, next, ids_of(of.scenario))));
    if (problems.length > 0) {
      const what = `${is_cut ? "the power is cut" : "everybody is killed"} before ${step}`;
      const choices = `choices: ${this.#choices.slice(0, step).join(" ")}`;
      this.losses.push([`${of.format}, ${of.scenario.name}: ${what}`, ...problems, choices].join("\n    "));
    }
  }
}

/** Makes the locks on a disk those of processes that have ended. */
function leave_locks({ disk, now }: RecordingLayer): void {
  const all = disk.node_at(ROOT) === undefined ? [] : now.names(ROOT);
  for (const name of all) {
    const node = disk.node_at(`${ROOT}/${name}`);
    const names = all.filter((other) => disk.node_at(`${ROOT}/${other}`) === node);
    if (node?.kind === "file") {
      node.data = with_left_lock(names, now.inode_of(`${ROOT}/${name}`) ?? 0, node.data);
    }
  }
}
