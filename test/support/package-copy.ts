import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as session from "@simulacra-ai/session";
import { build } from "esbuild";
import { onTestFinished } from "vitest";
import { new_directory } from "./temporary-directory.js";

const ENTRY = fileURLToPath(new URL("../../src/index.ts", import.meta.url));

/** Builds another copy of the package, as CommonJS. Returns the path of its one file. */
export async function package_copy_path(): Promise<string> {
  const { path, remove } = new_directory();
  onTestFinished(remove);
  const outfile = join(path, "index.cjs");
  await build({ entryPoints: [ENTRY], bundle: true, platform: "node", target: "node20", format: "cjs", outfile });
  return outfile;
}

/** Loads another copy of the package, as in an application whose parts load the package in different ways. */
export async function package_copy(): Promise<typeof session> {
  return createRequire(import.meta.url)(await package_copy_path()) as typeof session;
}
