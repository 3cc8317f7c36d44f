import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { MemoryTask } from "./memory-process.js";
import { TSX } from "../../support/tsx.js";

const PROGRAM = fileURLToPath(new URL("memory-process.ts", import.meta.url));
const MB = 1e6;

/** Returns by how many bytes a process has grown that ran this task. */
async function growth_of(task: MemoryTask): Promise<number> {
  const child = fork(PROGRAM, [task], { execArgv: [...TSX, "--expose-gc"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let growth: unknown;
  child.on("message", (message) => (growth = message));
  const [code] = (await once(child, "close")) as [number | null];
  if (typeof growth !== "number") {
    throw new Error(`${task}: the process ended with ${code} and sent nothing`);
  }
  return growth;
}

test.each(["disposed children", "dropped children"] as const)(
  "rule 4.5: 3,000 %s, each with a turn, are freed after flush()",
  async (task) => {
    expect(await growth_of(task)).toBeLessThan(3 * MB);
  },
  120_000,
);

test("rule 4.5: without auto_save, 5,000 turns leave nothing in the manager but two references a message", async () => {
  expect(await growth_of("turns without auto_save")).toBeLessThan(1 * MB);
}, 120_000);
