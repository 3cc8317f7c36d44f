import type { Message } from "@simulacra-ai/core";
import type { SessionDraft } from "../../../src/types.js";
import { answer_of, ending_of, prompt_of, text_of, turn_of } from "./turns.js";

export interface Draft {
  turn: number;
  /** Of the answer, so many UTF-16 units. */
  length: number;
}

/** What a session holds. */
export interface Held {
  turns: number[];
  draft: Draft | undefined;
}

/** What a process said until it was killed, as far as it matters. */
export interface Story {
  sent: number[];
  completed: number[];
  answered: Set<number>;
  /** The most that was acknowledged of each turn's draft, in their order. */
  drafted: Map<number, number>;
  /** The turn of its last piece of an answer. */
  last_came: number | undefined;
  /** What is to be on disk though nobody said so: it had come an interval before the death, and nothing was being written. */
  due: Draft | undefined;
  /** What it said that it did, and was not to do. */
  losses: string[];
}

/** Beyond the interval: a timer comes a little late, and what it says a little later. */
const LATENESS_MS = 6;

/** `is_old`: the session was stored before. */
export function story_of(lines: readonly string[], interval_ms: number, is_old: boolean): Story {
  const story: Story = {
    sent: [],
    completed: [],
    answered: new Set(),
    drafted: new Map(),
    last_came: undefined,
    due: undefined,
    losses: [],
  };
  const came: (Draft & { at: number })[] = [];
  let was_saved = is_old;
  let is_stored = is_old; // when the turn began
  let is_writing = false;
  let has_just_written = false; // and begins the next write, if one is due, before it says anything else
  let end = 0;
  for (const line of lines) {
    const [word = "", ...rest] = line.split(" ");
    const [turn = -1, length = 0, at] = rest.map(Number);
    end = word === "completed" ? end : (at ?? end);
    has_just_written = word === "drafted";
    if (word === "sending") {
      story.sent.push(turn);
      is_stored = was_saved;
    } else if (word === "completed") {
      was_saved = true;
      story.completed.push(...rest.map(Number));
    } else if (word === "answered") {
      story.answered.add(turn);
    } else if (word === "drafted" || word === "kept") {
      is_writing = false;
      story.drafted.set(turn, Math.max(length, story.drafted.get(turn) ?? 0));
    } else if (word === "writing") {
      is_writing = true;
    } else if (word === "came") {
      if (is_stored && !is_writing && !story.drafted.has(turn)) {
        story.losses.push(`the prompt of turn ${turn} was not being written when it was answered`);
      }
      story.last_came = turn;
      came.push({ turn, length, at: at ?? 0 });
    }
  }
  story.due =
    is_writing || has_just_written ? undefined : came.findLast(({ at }) => at < end - interval_ms - LATENESS_MS);
  return story;
}

/** Where in a turn the process died. */
export function moment_of({ sent, answered, last_came, drafted }: Story, lines: readonly string[]) {
  const turn = sent.at(-1);
  const is_over = turn === undefined || answered.has(turn) || lines.some((line) => line.startsWith(`kept ${turn} `));
  if (is_over) {
    return "between turns";
  }
  return last_came === turn ? "in the answer" : drafted.has(turn) ? "before the answer" : "before the draft";
}

export interface Verdict {
  held: Held;
  losses: string[];
  /** A turn that was complete but not acknowledged, and whose draft had given way to the next prompt's. */
  overtaken: number;
}

/** What is there after the kill, against what was there before and what the process said. */
export function judge(before: Held, story: Story, messages: readonly Message[], stored: SessionDraft | undefined) {
  const losses = [...story.losses];
  const turns = turns_in(messages, losses);
  const draft = draft_in(stored, losses);
  const verdict: Verdict = { held: { turns, draft }, losses, overtaken: 0 };
  if (draft !== undefined && draft.turn !== before.draft?.turn && !story.sent.includes(draft.turn)) {
    losses.push(`nobody sent the draft of turn ${draft.turn}`);
  }
  const may_be = new Set([...before.turns, ...story.sent]);
  for (const turn of new Set([...before.turns, ...story.completed])) {
    if (!turns.includes(turn)) {
      losses.push(`turn ${turn} was complete, and is gone`);
    }
  }
  for (const turn of turns) {
    const had_no_answer = !before.turns.includes(turn) && !["answered", "hurries"].includes(ending_of(turn));
    if (!may_be.has(turn) || had_no_answer) {
      losses.push(`turn ${turn} is there, and never was complete`);
    }
  }
  if (draft !== undefined && turns.includes(draft.turn)) {
    losses.push(`turn ${draft.turn} is complete and a draft`);
  }
  judge_drafts(before, story, verdict);
  return verdict;
}

function judge_drafts(before: Held, story: Story, verdict: Verdict): void {
  const { turns, draft } = verdict.held;
  const drafts = new Map([
    ...(before.draft ? [[before.draft.turn, before.draft.length] as const] : []),
    ...story.drafted,
  ]);
  for (const [turn, length] of drafts) {
    if (turns.includes(turn)) {
      continue;
    }
    if (draft?.turn === turn) {
      const least = Math.max(length, story.due?.turn === turn ? story.due.length : 0);
      if (draft.length < least) {
        verdict.losses.push(`of the answer of turn ${turn} there are ${draft.length}, not ${least}`);
      }
      continue;
    }
    const gave_way = story.sent.some((later) => later > turn && (turns.includes(later) || draft?.turn === later));
    if (gave_way && story.answered.has(turn) && ending_of(turn) === "hurries") {
      verdict.overtaken += 1;
    } else if (!gave_way || story.answered.has(turn)) {
      verdict.losses.push(`the prompt of turn ${turn} was acknowledged, and is gone (draft: ${draft?.turn})`);
    }
  }
}

function turns_in(messages: readonly Message[], losses: string[]): number[] {
  const turns: number[] = [];
  for (let at = 0; at < messages.length; at += 2) {
    const question = text_of(messages[at]);
    const turn = turn_of(question) ?? 0;
    if (question !== prompt_of(turn) || text_of(messages[at + 1]) !== answer_of(turn)) {
      losses.push(`messages ${at} and ${at + 1} are no turn`);
    }
    if (turns.includes(turn)) {
      losses.push(`turn ${turn} is there twice`);
    }
    turns.push(turn);
  }
  if (turns.some((turn, at) => turn < (turns[at - 1] ?? 0))) {
    losses.push(`turns are out of order: ${turns.join()}`);
  }
  return turns;
}

function draft_in(stored: SessionDraft | undefined, losses: string[]): Draft | undefined {
  if (stored === undefined) {
    return undefined;
  }
  const turn = turn_of(text_of(stored.prompt)) ?? 0;
  const partial = text_of(stored.partial);
  if (text_of(stored.prompt) !== prompt_of(turn) || !answer_of(turn).startsWith(partial)) {
    losses.push(`the draft of turn ${turn} is not what was sent`);
  }
  return { turn, length: partial.length };
}
