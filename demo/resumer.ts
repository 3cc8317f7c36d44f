/**
 * The second process: finds what the first one left, goes on from there, and does to the session what an application
 * would do.
 *
 * Usage: resumer.ts DIRECTORY ACKNOWLEDGED, with an IPC channel for the report.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  Conversation,
  next_reply,
  recorded_turns,
  replay_turn,
  StreamingProvider,
  type Message,
  type ModelRequest,
} from "@simulacra-ai/core";
import { FileSessionStore, SessionManager, type SessionMetadata } from "@simulacra-ai/session";
import { counting_layer } from "../bench/counting-layer.js";
import { claim, failing_clearly, read_recording, short, step } from "./claims.js";

/** What the first process learns of the second. */
export interface ResumerReport {
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
  const fork_id = await fork_and_dispose(root_id);
  await check_after_disposal(fork_id);
  process.send?.({ bytes_to_the_end, bytes_in_all: counted.bytes_written } satisfies ResumerReport);
});

async function resume_and_finish(): Promise<string> {
  await using manager = new SessionManager(store, conversation);
  step(3, "Another process resumes with load()");
  await manager.load();
  const id = manager.current_session_id ?? "";
  const loaded = conversation.messages.length;
  claim(loaded >= acknowledged, `${loaded} messages are there: all ${acknowledged} acknowledged ones, none missing`);
  claim(isDeepStrictEqual([...conversation.messages], recording.slice(0, loaded)), "each of them equals the recording");
  const rest = turns_from(loaded);
  claim(rest !== undefined, "they end where a turn ended: prompt and reply came together, or not at all");

  step(4, "It goes on to the end of the recording");
  for (const turn of rest ?? []) {
    await replay_turn(conversation, provider, turn);
  }
  await manager.flush();
  claim(manager.current_session_id === id, `${rest?.length} more turns in the same session`);
  claim(
    isDeepStrictEqual(await stored(id), recording),
    `stored are exactly the recording's ${recording.length} messages`,
  );
  const plain = JSON.parse(readFileSync(join(directory, `${id}.json`), "utf8")) as { messages: Message[] };
  claim(isDeepStrictEqual(plain.messages, recording), `${short(id)}.json alone says so too, read as plain JSON`);
  return id;
}

async function fork_and_dispose(root_id: string): Promise<string> {
  await using manager = new SessionManager(store, conversation);
  const count = fork_point();
  const message_id = recording[count - 1]?.id ?? "";
  const before = digest(root_id);
  step(5, `It forks after message ${count} and continues there`);
  const id = await manager.fork(root_id, { message_id });
  claim(
    isDeepStrictEqual([...conversation.messages], recording.slice(0, count)),
    `the conversation holds ${count} messages`,
  );
  await ask(conversation, "Let us try another way from here.");
  await ask(conversation, "And how would you test that?");
  await manager.flush();
  const own = await stored(id);
  claim(own.length === 4, "the fork stores its own 4 messages, and the parent's only by reference");
  claim(
    isDeepStrictEqual([...conversation.messages], [...recording.slice(0, count), ...own]),
    "conversation = inherited + own",
  );
  claim(digest(root_id) === before, "not a byte of the parent has changed");

  await run_children(manager, id);
  await make_checkpoint(manager, id);

  step(8, "It renames, and disposes while a reply is under way");
  await manager.rename(root_id, "Port the theme selectors");
  await manager.rename(id, "Another way");
  const labels = [root_id, id].map(async (of) => (await metadata(manager, of)).label);
  claim(
    isDeepStrictEqual(await Promise.all(labels), ["Port the theme selectors", "Another way"]),
    "both have new labels",
  );
  await conversation.prompt("One last question.");
  claim(conversation.state !== "idle", "prompt() has returned, the reply still streams; `await using` ends here");
  return id;
}

async function run_children(manager: SessionManager, id: string): Promise<void> {
  step(6, "Two child conversations work at once");
  const held = conversation.messages.length;
  const fresh = conversation.spawn_child();
  const informed = conversation.spawn_child(true);
  await Promise.all([ask(fresh, "Look for other callers."), ask(informed, "Write the missing test.")]);
  fresh[Symbol.dispose]();
  informed[Symbol.dispose]();
  await manager.flush();
  const children = await manager.list({ parent_id: id, kinds: ["child"] });
  const counts = children.map((child) => child.message_count).sort((a, b) => a - b);
  claim(isDeepStrictEqual(counts, [2, held + 2]), `each has a session: one of 2 messages, one of ${held} + 2`);
  claim(conversation.messages.length === held, "the parent's conversation is as it was");
}

async function make_checkpoint(manager: SessionManager, id: string): Promise<void> {
  step(7, "It makes a checkpoint");
  const state = await conversation.checkpoint();
  await manager.flush();
  const [written] = await manager.list({ parent_id: id, kinds: ["checkpoint"] });
  claim(written !== undefined, "the summary's conversation has a session of its own");
  const kept = (await metadata(manager, id)).checkpoint_state;
  claim(isDeepStrictEqual(kept, { ...state }), "the fork remembers the summary and the message it reaches to");
}

async function check_after_disposal(fork_id: string): Promise<void> {
  const own = await stored(fork_id);
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

/** The number of messages at the end of a turn, a quarter into the recording. */
function fork_point(): number {
  let count = 0;
  for (const turn of recorded_turns(recording)) {
    count += turn.user.length + turn.assistant.length;
    if (count >= recording.length / 4) {
      break;
    }
  }
  return count;
}

/** Prompts, and waits for the reply, which the provider streams after `prompt()` has resolved. */
async function ask(of: Conversation, text: string): Promise<void> {
  await Promise.all([next_reply(of), of.prompt(text)]);
}

function answer({ messages }: ModelRequest) {
  return { text: `An answer to message ${messages.length}, in a few pieces.`, chunks: 5, delay_ms: 10 };
}

/** What a store that has seen nothing yet finds of a session. */
async function stored(id: string): Promise<Message[]> {
  return (await new FileSessionStore(directory).load(id))?.messages ?? [];
}

async function metadata(manager: SessionManager, id: string): Promise<SessionMetadata> {
  const found = (await manager.list()).find((entry) => entry.id === id);
  if (found === undefined) {
    throw new Error(`session ${id} is not listed`);
  }
  return found;
}

function digest(id: string): string {
  return createHash("sha256")
    .update(readFileSync(join(directory, `${id}.json`)))
    .digest("hex");
}
