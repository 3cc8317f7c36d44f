import { FileSessionStore } from "@simulacra-ai/session";
import { expect, test } from "vitest";
import { quick_directory } from "../helpers.js";
import type { Task } from "./child.js";
import { use_children } from "./children.js";
import { content, with_journal } from "./files.js";
import { expect_recovery, timeless } from "./recovery.js";

const start_child = use_children();

/** The child is killed in the last of these steps; the others have been acknowledged. */
const CASES: { steps: Task["steps"]; prepare: (root: string) => Promise<unknown> }[] = [
  { steps: ["save"], prepare: (root) => with_journal(root) },
  { steps: ["save", "append", "append"], prepare: async () => undefined },
  { steps: ["append", "flush"], prepare: (root) => with_journal(root) },
];

/** A few at a time; there are two processors. */
async function in_parallel(count: number, run: (n: number) => Promise<void>): Promise<void> {
  let next = 1;
  const worker = async () => {
    while (next <= count) {
      next += 1;
      await run(next - 1);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
}

test.each(CASES)(
  "rule 30: a process killed before any operation of the last of $steps loses nothing and leaves nothing",
  async ({ steps, prepare }) => {
    async function run(task: Partial<Task>): Promise<{ root: string; lines: string[]; long_lived: FileSessionStore }> {
      const root = quick_directory();
      await prepare(root);
      const long_lived = new FileSessionStore(root);
      await long_lived.update("other", {});
      await long_lived.delete("s2"); // now it knows what is in the directory
      const { lines, signal, errors } = await start_child({ root, steps, ...task }).ended;
      expect(errors).toBe("");
      expect(signal).toBe(task.kill_at === undefined ? null : "SIGKILL");
      return { root, lines, long_lived };
    }
    const whole = await run({});
    const count = Number(whole.lines.at(-1)?.split(" ")[1]);
    expect(count).toBeGreaterThan(8);
    const earlier = await run({ steps: steps.slice(0, -1) });
    const allowed = [timeless(await content(whole.root)), timeless(await content(earlier.root))];

    await in_parallel(count, async (n) => {
      const { root, lines, long_lived } = await run({ kill_at: n });
      expect(lines).toEqual(steps.slice(0, -1));
      expect(allowed).toContain(timeless(await content(root)));
      await expect_recovery(root, n % 2 === 0 ? long_lived : undefined);
    });
  },
);
