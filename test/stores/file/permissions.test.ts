import { execFile } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { bundle } from "../../support/bundle.js";
import { temporary_directory } from "../helpers.js";

const [major = 0] = process.versions.node.split(".").map(Number);
const PERMISSION = major < 22 ? "--experimental-permission" : "--permission";

/** Runs a program that stores a session, with the right to read itself and the directory, and perhaps to write there. */
async function run(directory: string, writes: boolean): Promise<string> {
  const { program, remove } = await bundle(new URL("permitted-process.ts", import.meta.url));
  onTestFinished(remove);
  const rights = [program, directory].map((path) => `--allow-fs-read=${path}`);
  const args = [PERMISSION, "--no-warnings", ...rights, ...(writes ? [`--allow-fs-write=${directory}`] : [])];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [...args, program, directory]).catch(
    (error: unknown) => error as { stdout: string; stderr: string },
  );
  return stdout + stderr;
}

test("rule 45.4: with Node's permission model the right to the directory is enough", async () => {
  const directory = join(temporary_directory(), "sessions");
  fs.mkdirSync(directory);
  const found = JSON.parse(await run(directory, true)) as unknown;
  expect(found).toEqual({ texts: ["one", "two"], listed: ["s"], deleted: true });
  expect(fs.readdirSync(directory)).toEqual([]);
});

test("rule 45.4: without the right to write, a call rejects with storage and tells about the rights", async () => {
  const directory = join(temporary_directory(), "sessions");
  fs.mkdirSync(directory);
  const found = await run(directory, false);
  expect(found).toContain("code: 'storage'");
  expect(found).toMatch(/SessionError: the storage failed: .*(restricted|permission)/i);
});
