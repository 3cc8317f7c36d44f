/**
 * Runs a task in a process of its own and sends to the parent by how many bytes the heap has grown, all garbage collected.
 *
 * Usage: memory-process.ts TASK, with `--expose-gc` and an IPC channel.
 */
import { Conversation, next_reply, StreamingProvider } from "@simulacra-ai/core";
import { SessionManager, type SessionStore } from "@simulacra-ai/session";

/** What is run. The memory of what the name says must be free afterwards. */
export type MemoryTask = "disposed children" | "dropped children" | "turns without auto_save";

export const CHILDREN = 3_000;
export const TURNS = 5_000;

/** What is run before, so that compiled code and caches are there already. */
const WARM_UP = 500;
/** Children that are under way at the same time. */
const BATCH = 100;

/** Takes everything and holds nothing. */
const forgetful_store = {
  list: async () => [],
  load: async () => undefined,
  save: async () => undefined,
  delete: async () => true,
  append: async () => ({ revision: "1" }),
  replace: async () => ({ revision: "1" }),
  update: async () => true,
  set_draft: async () => undefined,
  flush: async () => undefined,
} satisfies SessionStore;

async function turn_of(conversation: Conversation, text: string): Promise<void> {
  await Promise.all([next_reply(conversation), conversation.prompt(text)]);
}

/** Children of one conversation, each with a turn. */
async function run_children(conversation: Conversation, count: number, dispose: boolean): Promise<void> {
  for (let done = 0; done < count; done += BATCH) {
    await Promise.all(
      Array.from({ length: BATCH }, async (_, index) => {
        const child = conversation.spawn_child();
        await turn_of(child, `child ${done + index}`);
        if (dispose) {
          child[Symbol.dispose]();
        }
      }),
    );
  }
}

/** Turns of one conversation, whose own messages are dropped at the end. */
async function run_turns(conversation: Conversation, count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) {
    await turn_of(conversation, `turn ${done}`);
  }
  conversation.clear();
}

/** Collects garbage until objects that are cleaned up after others are gone, too. */
async function bytes_held(): Promise<number> {
  for (let round = 0; round < 5; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    globalThis.gc?.();
  }
  return process.memoryUsage().heapUsed;
}

async function growth_of(task: MemoryTask): Promise<number> {
  const conversation = new Conversation(
    new StreamingProvider(() => ({ usage: { input_tokens: 1, output_tokens: 1 } })),
  );
  const manager = new SessionManager(forgetful_store, conversation, {
    auto_save: task !== "turns without auto_save",
  });
  manager.on("lifecycle_error", ({ error }) => {
    throw error;
  });
  manager.start_new();
  const run = (scale: { children: number; turns: number }) =>
    task === "turns without auto_save"
      ? run_turns(conversation, scale.turns)
      : run_children(conversation, scale.children, task === "disposed children");
  await run({ children: WARM_UP, turns: WARM_UP });
  await manager.flush();
  const before = await bytes_held();
  await run({ children: CHILDREN, turns: TURNS });
  await manager.flush();
  const growth = (await bytes_held()) - before;
  await manager[Symbol.asyncDispose](); // the manager is held up to here
  return growth;
}

if (process.send !== undefined && process.argv[2] !== undefined) {
  process.send(await growth_of(process.argv[2] as MemoryTask));
  process.disconnect();
}
