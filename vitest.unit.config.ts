import { defineConfig } from "vitest/config";
import all from "./vitest.config.js";

/** Tests that start processes or databases, wait for locks to age, or try hundreds of cases on disk. */
const SLOW = [
  "test/history/{faults,schedules,*processes}.test.ts",
  "test/manager/{children-memory,random-runs}.test.ts",
  "test/stores/{drizzle,prisma}-*.test.ts",
  "test/stores/{contract-{input,lifecycle,merge,text},timers}.test.ts",
  "test/stores/file/{broken-locks,costs,damage,deaths,flips,folds,foreign-writers,invalid-parents,locks,other-readers}.test.ts",
];

/** The inner loop: the manager, the pure rules, and the memory and file stores on the real file system. */
export default defineConfig({
  ...all,
  test: {
    ...all.test,
    include: ["test/{core,history,manager}/*.test.ts", "test/stores/{*,file/*}.test.ts", "test/*.test.ts"],
    exclude: SLOW,
  },
});
