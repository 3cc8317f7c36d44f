import fs from "node:fs";
import { join } from "node:path";
import { Conversation, next_reply, StreamingProvider } from "@simulacra-ai/core";
import { SessionManager } from "../../../src/manager/session-manager.js";
import { FileSessionStore } from "../../../src/stores/file/file-session-store.js";
import { seeded_random } from "../../support/random.js";
import { judge, moment_of, story_of, type Held } from "../drafts/judge.js";
import type { DraftTask } from "../drafts/program.js";
import { answer_of, text_of, turn_of } from "../drafts/turns.js";
import { with_processes, type StartProcess } from "../processes/worker-process.js";
import { is_over } from "../budget.js";
import type { Method } from "../method.js";
import { leftovers_in } from "../processes/kill-check.js";

const FULL_KILLS = 200;
const SHORT_KILLS = 6;
const KILLS_PER_LIFE = 8;
const INTERVALS_MS = [1, 5, 20];

const PLACES = { prompt: ["before the draft", "before the answer"], answer: ["in the answer"] } as const;

interface Tally {
  /** Of kills before an answer, and of kills in one. */
  wanted: number;
  until: number;
  losses: string[];
  kills: number;
  /** How many died where. */
  places: Map<string, number>;
  overtaken: number;
  resumed: number;
}

/**
 * A process runs turns until it is killed, between a prompt and its answer or in the midst of the answer; then the next
 * one goes on there. After every kill the prompt is there, with as much of the answer as had been stored, or the turn is.
 */
export const DRAFT_KILLS: Method = {
  name: "draft kills",
  async run({ full, seed, until }) {
    const tally: Tally = {
      wanted: full ? FULL_KILLS : SHORT_KILLS,
      until,
      losses: [],
      kills: 0,
      places: new Map(),
      overtaken: 0,
      resumed: 0,
    };
    await with_processes(
      async (in_memory, start, on_device) => {
        let next = 0;
        const one_after_another = async () => {
          while (is_wanting(tally)) {
            const life = next;
            next += 1;
            const directory = life % 4 < 2 ? in_memory : on_device;
            await live({ directory, start, life, seed: seed * 1000 + life }, tally);
          }
        };
        await Promise.all([one_after_another(), one_after_another()]);
      },
      new URL("../drafts/program.ts", import.meta.url),
    );
    const places = [...tally.places].map(([place, count]) => `${count} ${place}`).sort();
    const overtaken = tally.overtaken > 0 ? [`${tally.overtaken} not yet saved gave way to the next prompt`] : [];
    const note = [...places, `${tally.resumed} resumed`, ...overtaken].join(", ");
    const progress = { done: Math.min(least_killed(tally), tally.wanted), planned: tally.wanted, of: "of each kind" };
    if (least_killed(tally) === 0) {
      tally.losses.push("no process died before an answer, or none in one");
    }
    return { rounds: tally.kills, unit: "kills", progress, losses: tally.losses, note };
  },
};

/** Asks for more kills. After the deadline, only until there is one of each kind. */
function is_wanting(tally: Tally): boolean {
  const least = least_killed(tally);
  return least < tally.wanted && tally.kills < 6 * tally.wanted && (least === 0 || !is_over(tally));
}

function killed_in(tally: Tally, where: keyof typeof PLACES): number {
  return PLACES[where].reduce((sum, place) => sum + (tally.places.get(place) ?? 0), 0);
}

function least_killed(tally: Tally): number {
  return Math.min(killed_in(tally, "prompt"), killed_in(tally, "answer"));
}

interface Life {
  directory: string;
  start: StartProcess;
  /** Which of the forms it is. */
  life: number;
  seed: number;
}

async function live({ directory, start, life, seed }: Life, tally: Tally): Promise<void> {
  const root = join(directory, `life-${life}`);
  const format = life % 2 === 0 ? "json" : "ndjson";
  const random = seeded_random(seed);
  const interval_ms = random.pick(INTERVALS_MS);
  let held: Held = { turns: [], draft: undefined };
  let id: string | undefined;
  let first = 1;
  let worker = start();
  for (let kill = 0; kill < KILLS_PER_LIFE && is_wanting(tally); kill += 1) {
    const where = killed_in(tally, "prompt") < killed_in(tally, "answer") ? "prompt" : "answer";
    const after_steps = 1 + random.below(where === "prompt" ? 6 : 30);
    const killed = { after_steps, delay_ms: random.below(where === "prompt" ? 6_000 : 5_000) / 1000 };
    const process = worker;
    worker = start();
    const task: DraftTask = { root, format, id, first, interval_ms, killed_in: where, killed };
    process.tell(JSON.stringify(task));
    await process.ended;
    const story = story_of(process.lines, interval_ms, id !== undefined);
    const place = moment_of(story, process.lines);
    tally.kills += 1;
    tally.places.set(place, (tally.places.get(place) ?? 0) + 1);
    const lose = (losses: string[]) =>
      tally.losses.push(...losses.map((loss) => `life ${life} (${format}), kill ${kill}, ${place}: ${loss}`));
    lose(process.starting_with("error"));
    id ??= process.starting_with("session ")[0]?.split(" ")[1];
    first = Math.max(first, ...story.sent.map((turn) => turn + 1));
    const is_new = story.drafted.size === 0 && story.completed.length === 0 && held.turns.length === 0 && !held.draft;
    if (id === undefined || (is_new && (await new FileSessionStore(root).load(id)) === undefined)) {
      id = undefined; // it was killed before the session was stored
      continue;
    }
    try {
      const found = await look({ root, id, resumes: random.below(4) === 0 }, (messages, draft) => {
        const { held: now, losses, overtaken } = judge(held, story, messages, draft);
        lose(losses);
        tally.overtaken += overtaken;
        return now;
      });
      held = found.held;
      tally.resumed += found.is_resumed ? 1 : 0;
      lose(found.losses);
    } catch (error) {
      lose([`it cannot be read: ${String(error)}`]);
      break;
    }
  }
  await worker.kill();
  fs.rmSync(root, { recursive: true, force: true });
}

type Judge = (messages: Conversation["messages"], draft: SessionManager["draft"]) => Held;

/** A fresh manager loads the session, and now and then sends the prompt of the draft again. */
async function look({ root, id, resumes }: { root: string; id: string; resumes: boolean }, judged: Judge) {
  const provider = new StreamingProvider(({ messages }) => ({
    text: answer_of(turn_of(text_of(messages.at(-1))) ?? -1),
  }));
  const conversation = new Conversation(provider);
  const store = new FileSessionStore(root);
  const losses: string[] = [];
  const manager = new SessionManager(store, conversation);
  manager.on("lifecycle_error", ({ error }) => losses.push(String(error)));
  await manager.load(id);
  const held = judged(conversation.messages, manager.draft);
  if (!resumes || held.draft === undefined) {
    manager[Symbol.dispose]();
    return { held, losses, is_resumed: false };
  }
  await Promise.all([next_reply(conversation), manager.resume_draft()]);
  await manager[Symbol.asyncDispose]();
  const stored = await new FileSessionStore(root).load(id);
  const last = stored?.messages.slice(-2).map((message) => turn_of(text_of(message)));
  const { turn } = held.draft;
  if (last?.join() !== `${turn},${turn}` || stored?.draft !== undefined) {
    losses.push(`the draft of turn ${turn} was sent again, and became ${last?.join()}`);
  }
  return {
    held: { turns: [...held.turns, turn], draft: undefined },
    losses: [...losses, ...(await leftovers_in(root))],
    is_resumed: true,
  };
}
