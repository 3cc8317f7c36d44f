import { defineConfig } from "vitest/config";
import all from "./vitest.config.js";

/** Tests that start processes or databases, wait for locks to age, or try hundreds of cases on disk. */
const SLOW = [
  "test/manager/{control-characters,families,runtimes,schedules,*processes}.test.ts",
  "test/stores/{{drizzle,prisma}-*,timers}.test.ts",
  "test/stores/file/{at-rest,compact*,copied-files,costs,damage,foreign-*,fork-folders,invalid-parents}.test.ts",
  "test/stores/file/{locks,open-files,other-readers,permissions,real-file-systems}.test.ts",
];

/** The inner loop: the manager, the pure rules, and the memory and file stores on the real file system. */
export default defineConfig({
  ...all,
  test: {
    ...all.test,
    include: ["test/{core,manager}/**/*.test.ts", "test/stores/{*,file/*}.test.ts", "test/*.test.ts"],
    exclude: SLOW,
    env: { SESSION_BACKENDS: process.env["SESSION_BACKENDS"] ?? "memory;four-method;file" },
    globalSetup: ["test/support/leftovers.ts"], // no servers here
  },
});
