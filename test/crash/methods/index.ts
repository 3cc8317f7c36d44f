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

/** In the order of the table. */
export const METHODS: Method[] = [
  CRASH_STATES,
  CRASH_STATES_NOT_DURABLE,
  DAMAGE,
  STORE_MODEL,
  MANAGER_MODEL,
  MANAGER_CALLS,
  INTERLEAVINGS,
  FOREIGN_WRITERS,
  POWER_CUTS,
  FAULTS_METHOD,
  FULL_DISK,
  LIMITS,
  FAILED_SYNCS,
  KILLS,
  DRAFT_KILLS,
  PROCESSES,
  LOCKS,
  STOPPED_PROCESSES,
  CLOCKS_APART,
  PID_NAMESPACES,
];
