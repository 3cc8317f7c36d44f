import fs from "node:fs";
import process from "node:process";
import { FileSessionStore, type StoredSession } from "@simulacra-ai/session";
import { user } from "../../support/messages.js";
import { STEPS, type ChildTask, type StepResult } from "./child-task.js";

async function run(task: ChildTask): Promise<void> {
  const store = new FileSessionStore(task.root, { format: task.format });
  const hoard = task.free_descriptors === undefined ? [] : open_all(task.free_descriptors);
  for (const [n, text] of STEPS.entries()) {
    const is_last = n === STEPS.length - 1;
    if (is_last) {
      hoard.forEach((descriptor) => fs.closeSync(descriptor));
    }
    report(text, await outcome(() => add(store, text)));
    if (n % 5 === 4) {
      report("", await outcome(() => store.flush("s")));
    }
  }
}

function open_all(free: number): number[] {
  const opened: number[] = [];
  try {
    for (;;) {
      opened.push(fs.openSync("/dev/null", "r"));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EMFILE") {
      throw error;
    }
  }
  opened.splice(0, free).forEach((descriptor) => fs.closeSync(descriptor));
  return opened;
}

async function add(store: FileSessionStore, text: string): Promise<void> {
  const session = (await store.load("s")) as (StoredSession & { revision: string }) | undefined;
  await (session === undefined
    ? store.save("s", [user(text)])
    : store.append("s", [user(text)], { revision: session.revision }));
}

async function outcome(step: () => Promise<void>): Promise<StepResult["failed"]> {
  try {
    await step();
    return undefined;
  } catch (error) {
    const { code, cause } = error as { code?: string; cause?: { code?: string } };
    return [String(code), String(cause?.code)];
  }
}

function report(text: string, failed: StepResult["failed"]): void {
  fs.writeSync(1, `${JSON.stringify({ text, failed })}\n`);
}

await run(JSON.parse(process.argv[2] ?? "") as ChildTask);
