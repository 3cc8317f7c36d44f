import process from "node:process";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { HookedLayer, type Operation } from "./hooked-layer.js";

/** What a second process is to do; each line that it prints is one word. */
export interface Task {
  root: string;
  /** Run one after another; each prints its name when it has ended. */
  steps: ("append" | "watch")[];
  /** Prints `held` and waits for a line before the first operation of this name in the last step. */
  hold_before?: string;
}

const task = JSON.parse(process.argv[2] ?? "") as Task;
const is_last = { value: false };

/** A process that is killed leaves to the system what it has written: syncs would only take time. */
const layer = new HookedLayer((operation) => (is_last.value ? before(operation) : undefined), { syncs: false });
const store = new FileSessionStore(task.root, {}, layer);
const input = process.stdin[Symbol.asyncIterator]();

async function before({ name }: Operation): Promise<void> {
  if (name === task.hold_before) {
    task.hold_before = "";
    console.log("held");
    await input.next();
  }
}

function text(words: string) {
  return { role: "user" as const, content: [{ type: "text" as const, text: words }] };
}

async function revision(): Promise<string> {
  return (await store.load("s"))?.revision ?? "";
}

/** Loads and lists until something is written to its input; prints what it saw that must not be. */
async function watch(): Promise<void> {
  let ended = false;
  void input.next().then(() => (ended = true));
  let [reads, least] = [0, 0];
  console.log("watching");
  for (; !ended; reads += 1) {
    const [session, all] = [await store.load("s"), await store.list()];
    const listed = all[0]?.message_count ?? -1;
    const numbers = session?.messages.map((_, n) => n) ?? [];
    const is_whole = session?.messages.every(({ id }, n) => id === `m${n}`);
    if (
      !is_whole ||
      numbers.length < least ||
      listed < numbers.length ||
      session?.metadata.message_count !== numbers.length
    ) {
      console.log(`wrong: ${numbers.length} messages, at least ${least}, listed ${listed}`);
    }
    least = Math.max(least, listed);
    await new Promise((next) => setImmediate(next));
  }
  console.log(`reads ${reads}`);
}

const STEPS: Record<Task["steps"][number], () => Promise<unknown>> = {
  append: async () => store.append("s", [text("appended by the child")], { revision: await revision() }),
  watch,
};

for (const [n, step] of task.steps.entries()) {
  is_last.value = n === task.steps.length - 1;
  await STEPS[step]();
  console.log(step);
}
process.stdin.destroy();
