import { with_lock_files } from "../lock-kind.js";
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
import { LARGE_SESSIONS } from "./large-sessions.js";
import { LOCKS } from "./locks.js";
import { PID_NAMESPACES } from "./pid-namespaces.js";
import { PROCESSES } from "./processes.js";
import { STOPPED_PROCESSES } from "./stopped-processes.js";

/** The same method for locks that are symbolic links and for locks that are files. The two share the time. */
function with_both_locks(method: Method, seconds: number): [Method, number][] {
  const with_files: Method = {
    ...method,
    name: `${method.name}, lock files`,
    run: (scale) => with_lock_files(() => method.run(scale)),
  };
  return [
    [method, seconds / 2],
    [with_files, seconds / 2],
  ];
}

/** In the order of the table: what needs its time, however long it is given, comes before what can use any time. */
const SHARES: readonly (readonly [method: Method, seconds: number])[] = [
  ...with_both_locks(POWER_CUTS, 30),
  [FULL_DISK, 10],
  [LIMITS, 10],
  [FAILED_SYNCS, 10],
  ...with_both_locks(LOCKS, 20),
  ...with_both_locks(STOPPED_PROCESSES, 28),
  ...with_both_locks(CLOCKS_APART, 20),
  ...with_both_locks(PID_NAMESPACES, 20),
  ...with_both_locks(PROCESSES, 36),
  ...with_both_locks(KILLS, 42),
  ...with_both_locks(DRAFT_KILLS, 20),
  [FOREIGN_WRITERS, 12],
  [STORE_MODEL, 22],
  [MANAGER_MODEL, 10],
  [FAULTS_METHOD, 22],
  [DAMAGE, 30],
  ...with_both_locks(CRASH_STATES, 42),
  ...with_both_locks(CRASH_STATES_NOT_DURABLE, 14),
  [MANAGER_CALLS, 120],
  ...with_both_locks(INTERLEAVINGS, 77),
  [LARGE_SESSIONS, 1], // one session in any case
];

export const METHODS: readonly Method[] = SHARES.map(([method]) => method);

/** Of the ten minutes that all methods take together in `npm run test:crash`, how many seconds each has. */
export const SECONDS: ReadonlyMap<Method, number> = new Map(SHARES);
