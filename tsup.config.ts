import { defineConfig } from "tsup";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    conformance: "src/conformance/index.ts",
    sql: "src/stores/sql/index.ts",
    redis: "src/stores/redis/index.ts",
  },
  format: ["esm", "cjs"],
  target: "node20",
  platform: "node",
  dts: true,
  sourcemap: true,
  clean: true,
  splitting: true,
  treeshake: true,
  external: ["@simulacra-ai/core", "kysely"],
  removeNodeProtocol: false,
});
