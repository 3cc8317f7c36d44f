import { timers } from "../../../src/async/timers.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { LeasePolicy } from "../../../src/stores/file/lock/session-leases.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import { LoggedDisk } from "../crash-states/logged-disk.js";
import { MemoryDisk } from "../crash-states/memory-disk.js";
import { RecordingLayer } from "../crash-states/recording-layer.js";
import { Actor } from "./actor.js";
import { Bytes } from "./bytes.js";
import type { Place } from "./disk-operation.js";
import { ActorLayer, type SeenAs } from "./actor-layer.js";
import { judge_aftermath, judge_answers } from "./judge.js";
import { found_in } from "./found.js";
import type { Call, Session } from "./history.js";
import type { Memory } from "./memory.js";
import { repeatably } from "./repeatable.js";
import type { Guide, Order } from "./order.js";
import { LiveScheduler } from "./live-scheduler.js";
import { while_time_stands } from "./virtual-time.js";

export const ROOT = "/sessions";

export interface Scenario {
  name: string;
  /** What is there before; nobody is interrupted. */
  setup(actors: Actor[], disk: RecordingLayer): Promise<void>;
  scripts: ((actor: Actor) => Promise<void>)[];
  /** What the others find out about each actor; without it, that they live. */
  seen_as?: SeenAs[];
  /** All sessions; without it, `s`. */
  ids?: string[];
  /** Whose stores keep a lock from the first append on, until they pause. */
  keepers?: number[];
}

/** What there is while the actors are at it. */
export interface World {
  scenario: Scenario;
  format: FileSessionFormat;
  disk: RecordingLayer;
  bytes: Bytes;
  scheduler: LiveScheduler;
  calls: Call[];
  /** The sessions as they were when the actors began. */
  start: Map<string, Session>;
}

export interface Options {
  /** For tests of the explorer: from when the actors begin, their disk is not as it should be. */
  spoil?: (layer: ActorLayer) => void;
  /** What was found right before needs no judgement again. */
  judged?: Set<string>;
  /** What the actors do is written down there. */
  memory?: Memory | undefined;
  /** Called before each operation. */
  watch?: (step: number, world: World) => void;
}

export interface Run {
  order: Order;
  /** What is wrong. */
  problems: string[];
  world: World;
  /** What it came to, where it came to its end. */
  found?: string | undefined;
}

export const OBSERVER = 90;

export function ids_of({ ids = ["s"] }: Scenario): readonly string[] {
  return ids;
}

/** Lets the actors of a scenario run in one order, and judges what they were answered and what they left. */
export async function run_order(
  scenario: Scenario,
  format: FileSessionFormat,
  guide: Omit<Guide, "before"> & { victim?: { actor: number; at: number } },
  options: Options = {},
): Promise<Run> {
  const recorders = options.memory?.recorders();
  const scheduler = new LiveScheduler(scheduling_of(scenario), recorders);
  const bytes = options.memory?.bytes ?? new Bytes();
  const turn = () => scheduler.turn ?? OBSERVER;
  const disk = new RecordingLayer(new LoggedDisk(new MemoryDisk(turn), { contents: bytes }));
  const world: World = { scenario, format, disk, bytes, scheduler, calls: [], start: new Map() };
  const run = await repeatably(turn, () => run_in(world, guide, options));
  if (recorders?.some(({ did_otherwise }) => did_otherwise) === true) {
    run.problems.push("an actor did something else than it had done before, where it had seen the same");
  }
  return run;
}

export function scheduling_of({ scripts, seen_as }: Scenario): { actors: number; has_stopped_holder: boolean } {
  return { actors: scripts.length, has_stopped_holder: seen_as?.includes("unknown") ?? false };
}

async function run_in(
  world: World,
  guide: Parameters<typeof run_order>[2],
  { spoil, watch, judged, memory }: Options,
): Promise<Run> {
  const { scenario, scheduler } = world;
  const actors = scenario.scripts.map((_, number) => actor_of_world(world, number));
  const all = actors.map(({ actor }) => actor);
  await while_time_stands(() => scenario.setup(all, world.disk));
  actors.forEach(({ layer }) => spoil?.(layer));
  await note_start(world);
  if (memory !== undefined) {
    memory.beginning ??= {
      disk: world.disk.disk.copy(),
      files: actors.map(({ layer }) => [...layer.files]),
      open: actors.map(({ layer }) => layer.opened - layer.closed),
      sessions: new Map(world.start),
    };
  }

  const ended = new Set<number>();
  const begin = actors.map(({ actor }, number) => () => {
    const end = () => {
      scheduler.does(number, { kind: "ends" });
      ended.add(number);
    };
    void scenario.scripts[number]?.(actor).then(end, end);
  });
  const before = (step: number) => {
    watch?.(step, world);
    return guide.victim?.at === step ? guide.victim.actor : undefined;
  };
  const has_ended = () => actors.every((_, number) => ended.has(number) || scheduler.is_dead(number));
  const order = await scheduler.run(begin, { ...guide, before }, has_ended);
  const problems = order.problem === undefined ? [] : [order.problem];
  let found: string | undefined;
  if (!order.was_known && problems.length === 0) {
    const is_open = actors.some(({ layer }, number) => layer.opened !== layer.closed && !scheduler.is_dead(number));
    problems.push(...(is_open ? ["a file was left open"] : []));
    found = found_in({ ...world, disk: world.disk.disk });
    if (judged?.has(found) !== true) {
      problems.push(...(await judge_answers(world, observer_of(world))));
      problems.push(...(await judge_aftermath(world.disk, observer_of({ ...world, calls: [] }), ids_of(scenario))));
      if (problems.length === 0) {
        judged?.add(found);
      }
    }
  }
  return { order, problems, world, found };
}

function actor_of_world(world: World, number: number): { actor: Actor; layer: ActorLayer } {
  const { scheduler, scenario, format } = world;
  const seen_as = (actor: number): SeenAs =>
    scheduler.is_dead(actor) ? "gone" : (scenario.seen_as?.[actor] ?? "alive");
  const view = { actor: number, seen_as };
  const layer = new ActorLayer(place_of(world), scheduler, view);
  const leasing = scenario.keepers?.includes(number) === true ? KEEPING : LEASING_NOTHING;
  return {
    layer,
    actor: new Actor(
      number,
      new FileSessionStore(ROOT, { format, lock_timeout_ms: Infinity }, layer, leasing, NEVER_IDLE),
      world,
    ),
  };
}

/** A pause is over whenever the actor is woken, as every wait; its clock says nothing of how long others took. */
const KEEPING: LeasePolicy = {
  after: 0,
  most: 3,
  most_contended: 2,
  sure_ms: -1,
  in_a_pause(task) {
    let is_off = false;
    timers.set_timeout(() => {
      if (!is_off) {
        task();
      }
    }, 0);
    return () => (is_off = true);
  },
};

/** In virtual time nobody is idle: the scenarios say when a session is compacted. */
const NEVER_IDLE = { idle_ms: Infinity, idle_ms_per_mb: 0 };

const LEASING_NOTHING: LeasePolicy = { ...KEEPING, after: Infinity, in_a_pause: () => () => undefined };

/** A process that comes when all others are gone. */
export function observer_of(world: Omit<World, "scenario">): Actor {
  const { scheduler, format } = world;
  const view = { actor: OBSERVER, seen_as: () => "gone" as const };
  const layer = new ActorLayer(place_of(world), scheduler, view);
  return new Actor(
    OBSERVER,
    new FileSessionStore(ROOT, { format, lock_timeout_ms: Infinity }, layer, LEASING_NOTHING, NEVER_IDLE),
    world,
  );
}

function place_of({ disk, bytes }: Pick<World, "disk" | "bytes">): Place {
  return { disk: disk.now, bytes };
}

/** A setup leaves the same every time: it is looked at once. */
const STARTS = new WeakMap<Scenario, Map<FileSessionFormat, ReadonlyMap<string, Session>>>();

async function note_start(world: World): Promise<void> {
  const { scenario, format, start } = world;
  const known = STARTS.get(scenario) ?? new Map<FileSessionFormat, ReadonlyMap<string, Session>>();
  STARTS.set(scenario, known);
  const sessions = known.get(format) ?? (await sessions_of(world));
  known.set(format, sessions);
  for (const [id, session] of sessions) {
    start.set(id, session);
  }
}

async function sessions_of(world: World): Promise<Map<string, Session>> {
  const observer = observer_of({ ...world, calls: [] });
  const sessions = new Map<string, Session>();
  for (const id of ids_of(world.scenario)) {
    const session = await observer.load(id);
    if (session !== undefined) {
      sessions.set(id, session);
    }
  }
  return sessions;
}
