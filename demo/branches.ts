/** What the resuming process does to the session once the recording is all there: each part is a step of the demo. */
import { isDeepStrictEqual as same } from "node:util";
import { recorded_turns, type Conversation, type Message } from "@simulacra-ai/core";
import type { SessionManager } from "@simulacra-ai/session";
import { claim, step } from "./claims.js";
import { ask, digest, metadata, stored } from "./sessions.js";

/** What every step works on. */
export interface Stage {
  directory: string;
  manager: SessionManager;
  conversation: Conversation;
}

/** Returns the id of the fork. */
export async function fork({ directory, manager, conversation }: Stage, root_id: string, recording: Message[]) {
  const count = fork_point(recording);
  const message_id = recording[count - 1]?.id ?? "";
  step(5, `It gives the session a label, forks it after message ${count} and continues there`);
  await manager.rename(root_id, "Port the theme selectors");
  const before = digest(directory, root_id);
  const id = await manager.fork(root_id, { message_id });
  await manager.rename(id, "Another way");
  claim(same(conversation.messages, recording.slice(0, count)), `the conversation holds ${count} messages`);
  await ask(conversation, "Let us try another way from here.");
  await ask(conversation, "And how would you test that?");
  await manager.flush();
  const own = await stored(directory, id);
  claim(own.length === 4, "the fork stores its own 4 messages, and the parent's only by reference");
  claim(same(conversation.messages, [...recording.slice(0, count), ...own]), "conversation = inherited + own");
  const labels = [root_id, id].map(async (of) => (await metadata(directory, of)).label);
  claim(same(await Promise.all(labels), ["Port the theme selectors", "Another way"]), "both have their labels");
  claim(digest(directory, root_id) === before, "not a byte of the parent has changed");
  return id;
}

export async function rewind({ directory, manager, conversation }: Stage, id: string): Promise<void> {
  step(6, "It takes the last question back with rewind(), and asks another");
  const whole = [...conversation.messages];
  const [kept, cut] = [whole.slice(0, -2), whole.slice(-2)];
  const tail_id = await manager.rewind(kept.at(-1)?.id ?? "");
  claim(
    tail_id !== undefined && manager.current_session_id === id && same(conversation.messages, kept),
    `the session keeps its id, and its conversation the first ${kept.length} of ${whole.length} messages`,
  );
  await ask(conversation, "And what would it break?");
  await manager.flush();
  const instead = [...conversation.messages];
  claim(
    instead.length === whole.length && same(await stored(directory, id), instead.slice(-4)),
    "it goes on from there: the new question and its answer are stored in place of the old",
  );
  const tail = await metadata(directory, tail_id);
  claim(
    tail.kind === "fork" && tail.label === "Another way (rewound)" && same(await stored(directory, tail_id), cut),
    `the ${cut.length} messages cut off live on as the fork "${tail.label}"`,
  );
  await manager.load(tail_id);
  claim(same(conversation.messages, whole), `undo: loading that fork gives all ${whole.length} messages again`);
  await manager.load(id);
  claim(same(conversation.messages, instead), "loading the session gives what was said instead");
}

export async function run_children({ manager, conversation }: Stage, id: string): Promise<void> {
  step(7, "Two child conversations work at once");
  const held = conversation.messages.length;
  const fresh = conversation.spawn_child();
  const informed = conversation.spawn_child(true);
  await Promise.all([ask(fresh, "Look for other callers."), ask(informed, "Write the missing test.")]);
  fresh[Symbol.dispose]();
  informed[Symbol.dispose]();
  await manager.flush();
  const children = await manager.list({ parent_id: id, kinds: ["child"] });
  const counts = children.map((child) => child.message_count).sort((a, b) => a - b);
  claim(same(counts, [2, held + 2]), `each has a session: one of 2 messages, one of ${held} + 2`);
  claim(conversation.messages.length === held, "the parent's conversation is as it was");
}

export async function make_checkpoint({ directory, manager, conversation }: Stage, id: string): Promise<void> {
  step(8, "It makes a checkpoint");
  const state = await conversation.checkpoint();
  await manager.flush();
  const [written] = await manager.list({ parent_id: id, kinds: ["checkpoint"] });
  claim(written !== undefined, "the summary's conversation has a session of its own");
  const kept = (await metadata(directory, id)).checkpoint_state;
  claim(same(kept, { ...state }), "the fork remembers the summary and the message it reaches to");
}

/** The number of messages at the end of a turn, a quarter into the recording. */
function fork_point(recording: Message[]): number {
  let count = 0;
  for (const turn of recorded_turns(recording)) {
    count += turn.user.length + turn.assistant.length;
    if (count >= recording.length / 4) {
      break;
    }
  }
  return count;
}
