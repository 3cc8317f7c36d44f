import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const LONGEST = /[/](conformance[/]stores|verification[/]methods)[.]test[.]ts$/;

/** Begins with the file that takes longest. At the end, one worker would wait for the other. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const is_long = ({ moduleId: path }: TestSpecification) => LONGEST.test(path);
    return [...sorted.filter(is_long), ...sorted.filter((file) => !is_long(file))];
  }
}

export default defineConfig({
  resolve: {
    alias: Object.entries({
      "": "./src/index.ts",
      "/conformance": "./src/conformance/index.ts",
      "/sql": "./src/stores/sql/index.ts",
      "/redis": "./src/stores/redis/index.ts",
    }).map(([entry, file]) => ({
      find: new RegExp(`^@simulacra-ai/session${entry}$`),
      replacement: fileURLToPath(new URL(file, import.meta.url)),
    })),
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/verification/**"],
    setupFiles: ["test/support/late-compaction.ts"],
    globalSetup: ["test/support/leftovers.ts", "test/support/servers.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000, // an embedded database starts slowly beside other tests
    retry: 0,
    isolate: false, // files share modules, not files on disk: a third less time
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
});
