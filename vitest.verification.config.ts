import { defineConfig } from "vitest/config";
import all from "./vitest.config.js";

/** The short form of every verification method, and the tests of the methods themselves. */
export default defineConfig({
  ...all,
  test: {
    ...all.test,
    include: ["test/verification/**/*.test.ts"],
    exclude: [],
    globalSetup: ["test/support/leftovers.ts"], // no servers here
  },
});
