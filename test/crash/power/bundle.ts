import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "tsup";

/** A program in one file, in a new directory, so that a process that runs it starts in no time. */
export async function bundle(source: URL, above = os.tmpdir()): Promise<{ program: string; remove: () => void }> {
  const directory = fs.mkdtempSync(join(above, "program-"));
  const remove = () => fs.rmSync(directory, { recursive: true, force: true });
  try {
    await build({
      entry: { program: fileURLToPath(source) },
      outDir: directory,
      format: ["esm"],
      outExtension: () => ({ js: ".mjs" }),
      target: "node20",
      tsconfig: fileURLToPath(new URL("../../../tsconfig.json", import.meta.url)),
      noExternal: [/./],
      silent: true,
      config: false,
      dts: false,
    });
  } catch (error) {
    remove();
    throw error;
  }
  return { program: join(directory, "program.mjs"), remove };
}
