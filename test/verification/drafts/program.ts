import process from "node:process";
import { setImmediate as next_round } from "node:timers/promises";
import { Conversation, next_reply, StreamingProvider } from "@simulacra-ai/core";
import { SessionManager } from "../../../src/manager/session-manager.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import type { FileSessionFormat } from "../../../src/stores/file/format/snapshot-header.js";
import type { SessionDraft } from "../../../src/types.js";
import "../lock-kind.js";
import { hear, say } from "../processes/child-io.js";
import { kill_switch, type KillMoment } from "../processes/kill-switch.js";
import { answer_of, ending_of, prompt_of, step_of, text_of, turn_of } from "./turns.js";

export interface DraftTask {
  root: string;
  format: FileSessionFormat;
  /** The session to go on with; without it, a new one. */
  id?: string | undefined;
  /** The first turn. */
  first: number;
  interval_ms: number;
  /** What the steps of the moment are: prompts that are sent, or pieces of answers that have come. */
  killed_in: "prompt" | "answer";
  killed: KillMoment;
}

const now = () => performance.now().toFixed(2);

/** Says when each write of a draft began, and when it was acknowledged. */
class TalkingStore extends FileSessionStore {
  override async set_draft(id: string, draft: SessionDraft | undefined): Promise<void> {
    const what = draft && [turn_of(text_of(draft.prompt)) ?? -1, text_of(draft.partial).length];
    say("writing", ...(what ?? []), now());
    await super.set_draft(id, draft);
    say("drafted", ...(what ?? []), now());
  }
}

/** Runs turns until it is killed. */
async function converse(task: DraftTask): Promise<void> {
  const step = await kill_switch(task.killed);
  const provider = new StreamingProvider(({ messages }) => step_of(turn_of(text_of(messages.at(-1))) ?? -1));
  const conversation = new Conversation(provider);
  const manager = new SessionManager(new TalkingStore(task.root, { format: task.format }), conversation, {
    draft_interval_ms: task.interval_ms,
  });
  let turn = task.first;
  let stored = 0;
  let wake: () => void = () => undefined;
  manager.on("lifecycle_error", ({ error }) => say("error", String(error)));
  manager.on("save", ({ messages }) => {
    const turns = messages.slice(stored).flatMap((message) => turn_of(text_of(message)) ?? -1);
    say("completed", ...new Set(turns));
    stored = messages.length;
    wake();
  });
  if (task.id === undefined) {
    say("session", manager.start_new());
  } else {
    await manager.load(task.id);
    stored = conversation.messages.length;
  }
  conversation.on("prompt_send", () => task.killed_in === "prompt" && step());
  conversation.on("message_update", ({ message }) => {
    const { length } = text_of(message);
    say("came", turn, length, now());
    if (task.killed_in === "answer") {
      step();
    }
    if (ending_of(turn) === "cancelled" && length > answer_of(turn).length / 2) {
      setImmediate(() => conversation.state === "streaming_response" && conversation.cancel_response());
    }
  });
  for (; ; turn += 1) {
    say("sending", turn);
    const reply = await Promise.allSettled([next_reply(conversation), conversation.prompt(prompt_of(turn))]);
    if (reply[0].status === "rejected") {
      await next_round(); // before that nobody can tell that the turn is not complete
      await manager.flush(); // of a draft, too
      say("kept", turn, text_of(manager.draft?.partial).length, now());
      continue;
    }
    say("answered", turn);
    const count = conversation.messages.length;
    while (ending_of(turn) !== "hurries" && stored < count) {
      await new Promise<void>((resolve) => (wake = resolve));
    }
  }
}

// It is started before it is needed, and learns what to do later.
const task = await hear();
if (task !== undefined) {
  try {
    await converse(JSON.parse(task) as DraftTask);
  } catch (error) {
    say("error", error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exit(1);
  }
}
