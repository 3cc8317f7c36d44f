import process from "node:process";
import { Conversation, next_reply, StreamingProvider } from "@simulacra-ai/core";
import { SessionManager } from "../../src/manager/session-manager.js";
import { FileSessionStore } from "../../src/stores/file/file-session-store.js";

/** What a process of its own says with the engine in one session: each turn with a child, checkpoints in between. */
export interface EngineTask {
  root: string;
  format: "json" | "ndjson";
  session_id: string;
  name: string;
  turns: number;
}

const ask = (of: Conversation, text: string) => Promise.all([next_reply(of), of.prompt(text)]);

const task = JSON.parse(process.argv[2] ?? "") as EngineTask;
const conversation = new Conversation(new StreamingProvider(() => ({})));
const store = new FileSessionStore(task.root, { format: task.format, durable: false });
const manager = new SessionManager(store, conversation);
manager.on("lifecycle_error", ({ error }) => console.log(`error ${String(error)}`));
manager.on("conflict", ({ id, fork_id }) => console.log(`conflict ${id} ${fork_id}`));
await manager.load(task.session_id);
console.log("loaded");
await new Promise((resolve) => process.stdin.once("data", resolve));
const checkpoints: Promise<unknown>[] = [];
for (let n = 1; n <= task.turns; n += 1) {
  const child = conversation.spawn_child();
  const answered = ask(child, `child of ${task.name} ${n}`);
  if (n === 3) {
    checkpoints.push(conversation.checkpoint()); // goes on beside the turns that follow
  }
  await ask(conversation, `${task.name} ${n}`);
  await answered;
}
await Promise.all(checkpoints);
await manager[Symbol.asyncDispose]();
console.log(`ended ${manager.current_session_id} ${conversation.checkpoint_state?.message_id}`);
process.stdin.destroy();
