import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import vm from "node:vm";
import { Worker } from "node:worker_threads";
import { FileSessionStore } from "@simulacra-ai/session";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { bundle, type Bundle } from "../../support/bundle.js";
import { package_copy_path } from "../../support/package-copy.js";
import { message, temporary_directory } from "../helpers.js";
import type { Task } from "./child.js";
import { texts_in, tree } from "./files.js";
import { HookedLayer } from "./hooked-layer.js";

let program: Bundle;
beforeAll(async () => (program = await bundle(new URL("child.ts", import.meta.url))));
afterAll(() => program.remove());

/** A process whose main thread lives on when the worker thread has ended. Prints `held` and `ended`. */
const WITH_THREAD = `
  const { Worker } = require("node:worker_threads");
  const worker = new Worker(process.argv[1], { argv: [process.argv[2]], stdin: true, stdout: true });
  worker.stdout.once("data", async (text) => {
    process.stdout.write(text);
    await worker.terminate();
    process.stdout.write("ended\\n");
  });
  setInterval(() => undefined, 1000);
`;

/** Starts a thread that is stopped in an append to the session `s`, with the session's lock. */
async function session_with_task(): Promise<{ root: string; task: string }> {
  const root = temporary_directory();
  await new FileSessionStore(root).save("s", [message("one")]);
  return { root, task: JSON.stringify({ root, steps: ["append"], hold_before: "file.write" } satisfies Task) };
}

test("rule 44.2: the lock of a thread that has ended is taken over while its process lives", async () => {
  const { root, task } = await session_with_task();
  const worker = new Worker(program.program, { argv: [task], stdin: true, stdout: true });
  await once(worker.stdout, "data");
  expect(tree(root)).toContain("s.lock@");
  await worker.terminate();
  expect(tree(root)).toContain("s.lock@");
  await new FileSessionStore(root).save("s", [message("by another thread")]);
  expect(await texts_in(root)).toEqual(["by another thread"]);
  expect(tree(root)).toEqual(["s.json"]);
});

test("rule 44.2: so it is by another process", async () => {
  const { root, task } = await session_with_task();
  const other = spawn(process.execPath, ["-e", WITH_THREAD, program.program, task]);
  onTestFinished(() => void other.kill("SIGKILL"));
  for (let output = ""; !output.includes("ended");) {
    output += String(await once(other.stdout, "data"));
  }
  expect(tree(root)).toContain("s.lock@");
  await new FileSessionStore(root).save("s", [message("by another process")]);
  expect(await texts_in(root)).toEqual(["by another process"]);
  expect(other.exitCode).toBe(null);
});

test("rule 44: two realms of one thread wait for each other's locks", async () => {
  const root = temporary_directory();
  const code = fs.readFileSync(await package_copy_path(), "utf8");
  const require = createRequire(import.meta.url);
  const realm = vm.createContext({ Buffer, console, process, require, module: { exports: {} }, ...globals() });
  const copy = vm.runInContext(`${code}; module.exports`, realm) as { FileSessionStore: typeof FileSessionStore };
  const layer = new HookedLayer();
  const first = new copy.FileSessionStore(root, {}, layer);
  await first.save("s", [message("one")]);
  let go_on = (): void => undefined;
  const held = new Promise<void>((is_held) => {
    layer.hook = ({ name }) => {
      if (name === "rename") {
        layer.hook = () => undefined;
        is_held();
        return new Promise<void>((resolve) => (go_on = resolve));
      }
    };
  });
  const slow = first.save("s", [message("slow")]);
  await held;
  const lock = fs.readlinkSync(join(root, "s.lock"));
  const waiting = new HookedLayer();
  const tries = () => waiting.operations.filter(({ name }) => name === "symlink").length;
  const asked = new Promise<void>((resolve) => (waiting.hook = () => void (tries() >= 5 && resolve())));
  const quick = new FileSessionStore(root, {}, waiting).save("s", [message("quick")]);
  await asked;
  expect(fs.readlinkSync(join(root, "s.lock"))).toBe(lock);
  go_on();
  await slow;
  await quick;
  expect(await texts_in(root)).toEqual(["quick"]);
});

/** The globals that a sandbox passes on. */
function globals(): object {
  const names = ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "setImmediate", "performance"];
  const classes = ["TextDecoder", "TextEncoder", "URL", "AbortController"];
  return Object.fromEntries([...names, ...classes].map((name) => [name, Reflect.get(globalThis, name)]));
}
