import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { onTestFinished } from "vitest";
import { project_file } from "../docs/markdown.js";
import { typescript_blocks } from "../docs/typescript-blocks.js";
import { new_directory } from "./temporary-directory.js";

/** Within the project, where imports resolve as everywhere, and out of the way of who reads the tests meanwhile. */
const PLACE = fileURLToPath(new URL("../../.tmp/", import.meta.url));

/** The example of a document that has this in it, as a module. */
export async function import_example<M>(document: string, part: string): Promise<M> {
  const block = typescript_blocks(document, project_file(document)).find(({ code }) => code.includes(part));
  await mkdir(PLACE, { recursive: true });
  const { path: directory, remove } = new_directory(PLACE);
  onTestFinished(remove);
  const path = join(directory, "example.ts");
  await writeFile(path, block?.code ?? "");
  return (await import(/* @vite-ignore */ pathToFileURL(path).href)) as M;
}
