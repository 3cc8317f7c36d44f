/**
 * Holds a conversation in a process that has done nothing else, and sends to the parent how much that takes.
 *
 * Usage: memory-worker.ts TASK, a `MemoryTask` as JSON, with an IPC channel for the report.
 */
import { setTimeout as pause } from "node:timers/promises";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { Conversation, replay_turn, StreamingProvider } from "@simulacra-ai/core";
import { short_turn } from "./conversations.js";
import { collect_garbage } from "./harness.js";
import { STORED_ID, type MemoryReport, type MemoryTask } from "./memory-task.js";
import { read_plainly } from "./plain-reader.js";
import { with_manager, type Saver } from "./savers.js";

/** What is run and dropped before, so that compiled code and caches are there already. */
const WARM_UP_TURNS = 2_000;
/** The least of so many readings counts: the engine has garbage of its own. */
const READINGS = 10;

setFlagsFromString("--no-flush-bytecode"); // nor is bytecode to go while it is measured

const task = JSON.parse(process.argv[2] ?? "") as MemoryTask;

interface Held {
  conversation: Conversation | undefined;
  saver: Saver | undefined;
}

async function hold(turns: number): Promise<Held> {
  const { way, format, directory } = task;
  const provider = new StreamingProvider();
  const conversation = new Conversation(provider);
  if (way === "plain") {
    conversation.load(await read_plainly(directory, STORED_ID[format], format));
    return { conversation, saver: undefined };
  }
  const open_saver = with_manager({ format, ...(way === "load" && { session_id: STORED_ID[format] }) });
  const saver = await open_saver(conversation, directory);
  for (let index = 0; way === "turns" && index < turns; index += 1) {
    await replay_turn(conversation, provider, short_turn(index));
    await saver.turn_stored();
  }
  return { conversation, saver };
}

/** A function of its own, so that nothing of it is held any longer. */
async function warm_up(): Promise<void> {
  const { saver } = await hold(WARM_UP_TURNS);
  await saver?.close();
}

/**
 * On the heap and outside of it, when what goes on in the background has ended. Without the machine code, which the
 * engine makes and drops as it likes.
 */
async function bytes_held(): Promise<number> {
  let least = Infinity;
  for (let reading = 0; reading < READINGS; reading += 1) {
    await pause(100);
    collect_garbage();
    const spaces = getHeapSpaceStatistics().filter(({ space_name }) => !space_name.startsWith("code_"));
    const heap = spaces.reduce((sum, { space_used_size }) => sum + space_used_size, 0);
    least = Math.min(least, heap + process.memoryUsage().external);
  }
  return least;
}

await warm_up();
const before = await bytes_held();
const held = await hold(task.turns);
const all = (await bytes_held()) - before;
const count = held.conversation?.messages.length;
if (count !== 2 * task.turns) {
  throw new Error(`the conversation holds ${count} messages`);
}
await held.saver?.close();
held.saver = undefined;
const conversation = (await bytes_held()) - before;
held.conversation = undefined;
const left = (await bytes_held()) - before;
process.send?.({ all, conversation, left } satisfies MemoryReport);
