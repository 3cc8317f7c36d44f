import type { Method } from "../method.js";
import { CRASH_STATES, CRASH_STATES_NOT_DURABLE } from "./crash-states.js";
import { DAMAGE } from "./damage.js";
import { FAULTS_METHOD } from "./faults.js";
import { FOREIGN_WRITERS } from "./foreign-writers.js";
import { INTERLEAVINGS } from "./interleavings.js";
import { MANAGER_CALLS } from "./manager-calls.js";
import { MANAGER_MODEL, STORE_MODEL } from "./model.js";
import { POWER_CUTS } from "./power-cuts.js";
import { FAILED_SYNCS, FULL_DISK, LIMITS } from "./real-faults.js";
import { CLOCKS_APART } from "./clocks.js";
import { DRAFT_KILLS } from "./draft-kills.js";
import { KILLS } from "./kills.js";
import { LOCKS } from "./locks.js";
import { PID_NAMESPACES } from "./pid-namespaces.js";
import { PROCESSES } from "./processes.js";
import { STOPPED_PROCESSES } from "./stopped-processes.js";

/** In the order of the table: what needs its time, however long it is given, comes before what can use any time. */
const SHARES: readonly (readonly [method: Method, seconds: number])[] = [
  [POWER_CUTS, 30],
  [FULL_DISK, 10],
  [LIMITS, 10],
  [FAILED_SYNCS, 10],
  [LOCKS, 20],
  [STOPPED_PROCESSES, 28],
  [CLOCKS_APART, 20],
  [PID_NAMESPACES, 20],
  [PROCESSES, 36],
  [KILLS, 42],
  [DRAFT_KILLS, 20],
  [FOREIGN_WRITERS, 12],
  [STORE_MODEL, 22],
  [MANAGER_MODEL, 10],
  [FAULTS_METHOD, 22],
  [DAMAGE, 30],
  [CRASH_STATES, 42],
  [CRASH_STATES_NOT_DURABLE, 14],
  [MANAGER_CALLS, 120],
  [INTERLEAVINGS, 78],
];

export const METHODS: readonly Method[] = SHARES.map(([method]) => method);

/** Of the ten minutes that all methods take together in `npm run test:crash`, how many seconds each has. */
export const SECONDS: ReadonlyMap<Method, number> = new Map(SHARES);
