/**
 * One of two processes that continue the same session: loads it, says so, and waits for the word, which both get at
 * once; then it asks two questions, and knows nothing of the other until its manager tells.
 *
 * Usage: rival.ts DIRECTORY SESSION QUESTION…, with an IPC channel.
 */
import { once } from "node:events";
import { Conversation, StreamingProvider, type Message } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager } from "@simulacra-ai/session";
import { counting_layer } from "../bench/counting-layer.js";
import { failing_clearly } from "./claims.js";
import { answer, ask } from "./sessions.js";

/** What a rival says: first that it has loaded the session, in the end how it went. */
export type RivalMessage = "loaded" | RivalReport;

export interface RivalReport {
  /** How many messages it had loaded. */
  loaded: number;
  /** The messages after those it had loaded that `save` events named as stored. */
  acknowledged: Message[];
  /** Where the manager was in the end. */
  session_id: string | undefined;
  conflicts: {
    id: string;
    fork_id: string;
    code: string;
    text: string;
    /** The manager's `current_session_id` when it told of the conflict. */
    current_id: string | undefined;
  }[];
  bytes: number;
}

const [directory = "", session_id = "", ...questions] = process.argv.slice(2);
const counted = counting_layer();
const conversation = new Conversation(new StreamingProvider(answer));

await failing_clearly(async () => {
  const report = await continue_session();
  tell({ ...report, bytes: counted.bytes_written });
});

async function continue_session(): Promise<Omit<RivalReport, "bytes">> {
  await using manager = new SessionManager(new FileSessionStore(directory, {}, counted.layer), conversation);
  await manager.load(session_id);
  const loaded = conversation.messages.length;
  const acknowledged: Message[] = [];
  const conflicts: RivalReport["conflicts"] = [];
  manager
    .on("save", ({ messages }) => acknowledged.push(...messages.slice(loaded + acknowledged.length)))
    .on("conflict", ({ id, fork_id, error }) => {
      const { code, message } = error;
      conflicts.push({ id, fork_id, code, text: message, current_id: manager.current_session_id });
    })
    .on("lifecycle_error", ({ error, operation }) => console.error(operation, error));

  const word = once(process, "message");
  tell("loaded");
  await word;
  for (const question of questions) {
    await ask(conversation, question);
  }
  await manager.flush();
  return { loaded, acknowledged, session_id: manager.current_session_id, conflicts };
}

function tell(message: RivalMessage): void {
  process.send?.(message);
}
