import process from "node:process";
import { SessionManager } from "../../src/manager/session-manager.js";
import { FileSessionStore } from "../../src/stores/file/file-session-store.js";
import { PlainConversation } from "../support/plain-conversation.js";

/** What a process of its own says in one session, each turn saved before it is printed. */
export interface WriterTask {
  root: string;
  format: "json" | "ndjson";
  session_id: string;
  name: string;
  turns: number;
}

const task = JSON.parse(process.argv[2] ?? "") as WriterTask;
const conversation = new PlainConversation();
const store = new FileSessionStore(task.root, { format: task.format, durable: false });
const manager = new SessionManager(store, conversation);
manager.on("lifecycle_error", ({ error }) => console.log(`error ${String(error)}`));
manager.on("conflict", ({ id, fork_id }) => console.log(`conflict ${id} ${fork_id}`));
await manager.load(task.session_id);
console.log("loaded");
await new Promise((resolve) => process.stdin.once("data", resolve));
for (let n = 1; n <= task.turns; n += 1) {
  conversation.turn(`${task.name} ${n}`);
  if (n % 3 === 0) {
    await manager.save();
  } else {
    await manager.list(); // runs behind what was asked for
  }
  console.log(`stored ${manager.current_session_id} ${task.name} ${n}`);
}
await manager[Symbol.asyncDispose]();
process.stdin.destroy();
