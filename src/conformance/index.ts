export { session_store_cases } from "./cases/index.js";
export { claimed_cases, register, verify_session_store } from "./run.js";
export type { RegisterTest } from "./run.js";
export type {
  ConformanceCase,
  ConformanceFixture,
  ConformanceKills,
  ConformanceNeed,
  ConformanceOptions,
  ConformanceReport,
  ConformanceResult,
} from "./types.js";
