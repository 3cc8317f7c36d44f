const { createRequire } = require("node:module");

/** Parts of the version of Jest that runs this: those of another version may be nearer. */
const { resolve } = createRequire(process.argv[1]);
const common = {
  transform: {},
  rootDir: __dirname,
  runner: resolve("jest-runner"),
  testEnvironment: resolve("jest-environment-node"),
};

module.exports = {
  projects: [
    { ...common, displayName: "real timers", testMatch: ["**/manager.test.cjs"] },
    { ...common, displayName: "fake timers", testMatch: ["**/*.test.cjs"], fakeTimers: { enableGlobally: true } },
  ],
};
