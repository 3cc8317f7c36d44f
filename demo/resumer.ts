/**
 * The second process: finds what the first one left, goes on from there, and does to the session what an application
 * would do.
 *
 * Usage: resumer.ts DIRECTORY ACKNOWLEDGED, with an IPC channel for the report.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Conversation, recorded_turns, replay_turn, StreamingProvider, type Message } from "@simulacra-ai/core";
import { FileSessionStore, SessionManager } from "@simulacra-ai/session";
import { counting_layer } from "../bench/counting-layer.js";
import { fork, make_checkpoint, rewind, run_children } from "./branches.js";
import { claim, failing_clearly, read_recording, short, step } from "./claims.js";
import { answer, stored } from "./sessions.js";

/** What the first process learns of the second. */
export interface ResumerReport {
  /** The session that holds the recording. */
  root_id: string;
  /** Written by this process when the end of the recording was stored. */
  bytes_to_the_end: number;
  bytes_in_all: number;
}

const [directory = "", acknowledged_argument = ""] = process.argv.slice(2);
const acknowledged = Number(acknowledged_argument);
const recording = read_recording();
const counted = counting_layer();
const store = new FileSessionStore(directory, { durable: true }, counted.layer);
const provider = new StreamingProvider(answer);
const conversation = new Conversation(provider);

await failing_clearly(async () => {
  const root_id = await resume_and_finish();
  const bytes_to_the_end = counted.bytes_written;
  const fork_id = await branch_and_dispose(root_id);
  await check_after_disposal(fork_id);
  process.send?.({ root_id, bytes_to_the_end, bytes_in_all: counted.bytes_written } satisfies ResumerReport);
});

async function resume_and_finish(): Promise<string> {
  await using manager = new SessionManager(store, conversation, { drafts: false });
  step(3, "Another process resumes with load()");
  await manager.load();
  const id = manager.current_session_id ?? "";
  const loaded = conversation.messages.length;
  claim(loaded >= acknowledged, `${loaded} messages are there: all ${acknowledged} acknowledged ones, none missing`);
  claim(isDeepStrictEqual([...conversation.messages], recording.slice(0, loaded)), "each of them equals the recording");
  const rest = turns_from(loaded);
  claim(rest !== undefined, "they end where a turn ended: prompt and reply came together, or not at all");

  step(4, "It goes on to the end of the recording");
  for (const turn of rest) {
    await replay_turn(conversation, provider, turn);
  }
  await manager.flush();
  claim(manager.current_session_id === id, `${rest.length} more turns in the same session`);
  claim(
    isDeepStrictEqual(await stored(directory, id), recording),
    `stored are exactly the recording's ${recording.length} messages`,
  );
  const plain = JSON.parse(readFileSync(join(directory, `${id}.json`), "utf8")) as { messages: Message[] };
  claim(isDeepStrictEqual(plain.messages, recording), `${short(id)}.json alone says so too, read as plain JSON`);
  return id;
}

async function branch_and_dispose(root_id: string): Promise<string> {
  await using manager = new SessionManager(store, conversation, { drafts: false });
  const stage = { directory, manager, conversation };
  const id = await fork(stage, root_id, recording);
  await rewind(stage, id);
  await run_children(stage, id);
  await make_checkpoint(stage, id);

  step(9, "It disposes while a reply is under way");
  await conversation.prompt("One last question.");
  claim(conversation.state !== "idle", "prompt() has returned, the reply still streams; `await using` ends here");
  return id;
}

async function check_after_disposal(fork_id: string): Promise<void> {
  const own = await stored(directory, fork_id);
  claim(conversation.state === "idle" && own.length === 6, "the reply was waited for, and is stored");
  claim(isDeepStrictEqual(own.at(-1), conversation.messages.at(-1)), "it is the last message of the fork");
}

/** The turns of the recording that are still to come; `undefined` where no turn ends there. */
function turns_from(count: number) {
  const turns = recorded_turns(recording);
  let before = 0;
  const next = turns.findIndex((turn) => {
    const is_next = before === count;
    before += turn.user.length + turn.assistant.length;
    return is_next;
  });
  return next < 0 ? undefined : turns.slice(next);
}
