import { defineConfig } from "tsup";

/** Doc comments are for the declarations. The code is read by nobody. */
const DOC_COMMENTS = /^[ \t]*\/\*\*[\s\S]*?\*\/\n/gm;

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
  dts: { compilerOptions: { stripInternal: true } },
  sourcemap: false,
  clean: true,
  splitting: true,
  treeshake: true,
  plugins: [{ name: "without-doc-comments", renderChunk: (code) => ({ code: code.replace(DOC_COMMENTS, "") }) }],
  external: ["@simulacra-ai/core", "kysely"],
  removeNodeProtocol: false,
});
