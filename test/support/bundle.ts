import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { new_directory } from "./temporary-directory.js";

/** Modules that a program may do without. */
const OPTIONAL = ["pg-native", "pg-cloudflare"];
/** Lets CommonJS packages load the modules of Node.js. */
const REQUIRE =
  "import { createRequire as make_require } from 'node:module'; const require = make_require(import.meta.url);";

export interface Bundle {
  program: string;
  remove: () => void;
}

/** Bundles a program into one file of a new directory, so that a process that runs it starts in no time. */
export async function bundle(source: URL, above?: string): Promise<Bundle> {
  const { path, remove } = new_directory(above);
  const program = join(path, "program.mjs");
  try {
    await build({
      entryPoints: [fileURLToPath(source)],
      outfile: program,
      bundle: true,
      minifyWhitespace: true, // every process reads it anew
      minifySyntax: true,
      platform: "node",
      format: "esm",
      target: "node20",
      external: OPTIONAL,
      banner: { js: REQUIRE },
      logLevel: "error",
    });
  } catch (error) {
    remove();
    throw error;
  }
  return { program, remove };
}
