import { setTimeout as pause } from "node:timers/promises";
import { Conversation, replay_turn, StreamingProvider } from "@simulacra-ai/core";
import { FileSessionStore, type FileSessionFormat } from "@simulacra-ai/session";
import { synthetic_conversation, turn_of } from "./conversations.js";
import { fold_watch, type Span } from "./fold-watch.js";
import {
  at_most,
  for_information,
  in_temporary_directory,
  interleave,
  keyed,
  median,
  ms,
  percentile,
  type Figure,
  type Subject,
} from "./harness.js";
import { raw_limit, with_manager, type Saver } from "./savers.js";

const ID = "folded";
/** When its journal is folded, the session has 4 MB: two messages a turn, 2 KB each. */
const SNAPSHOT_TURNS = 330;
/** The journal is folded when it is twice as long as the snapshot: about 35 turns are left until then. */
const JOURNAL_TURNS = 610;
/** The first saves of a process and of a store are not counted. */
const WARM_UP_TURNS = 10;
const TURNS_AFTER_FOLD = 30;
/** So many saves after a fold still count as around it: its old files are yet to be removed. */
const AFTERMATH = 5;
const MOST_TURNS = 1_000;
/** What the bare file is given: about as many turns as it takes to see a fold. */
const RAW_TURNS = 60;

const PAUSES = { "back to back": 0, "5 ms apart": 5 };
const BOUND_MS = 10;

/** How long each save took, from being asked for to its acknowledgement: those around a fold, and the others. */
interface Round {
  around: number[];
  others: number[];
}

/** A turn does not wait for a fold. */
export const FOLD: Subject = {
  name: "fold",
  async measure({ quick, formats }) {
    const figures: Figure[] = [];
    for (const [pace, pause_ms] of Object.entries(PAUSES)) {
      const folding = keyed(formats, (format) => () => in_temporary_directory((at) => fold_once(at, format, pause_ms)));
      const raw = () => in_temporary_directory((at) => append_raw(at, pause_ms));
      await interleave({ ...folding, raw }, 1);
      const rounds = await interleave({ ...folding, raw }, quick ? 3 : 12);
      const what = `turns ${pace} through a session of 4 MB`;
      const { raw: raw_rounds } = rounds;
      const times = raw_rounds.flatMap(({ others }) => others);
      const note = `median ${ms(median(times))}, slowest ${ms(Math.max(...times))}`;
      figures.push(...formats.map((format) => fold_figure(`fold (${format}), ${what}`, rounds[format])));
      figures.push(
        for_information(`fold, ${what}: raw append and sync, 99th percentile`, percentile(times, 99), " ms", note),
      );
    }
    return figures;
  },
};

/** The slowest save around any fold is the figure; how slow a usual fold and other saves are tells it from a slow disk. */
function fold_figure(what: string, rounds: readonly Round[]): Figure {
  const others = rounds.flatMap((round) => round.others);
  const usual = median(others);
  const slowest = rounds.map(({ around }) => Math.max(...around));
  const note = [
    `${ms(Math.max(...slowest))} − ${ms(usual)}`,
    `median of ${rounds.length} folds ${ms(median(slowest) - usual)}`,
    `other saves: 99th percentile ${ms(percentile(others, 99))}`,
  ].join("; ");
  return at_most(`${what}: slowest save around a fold − median`, Math.max(...slowest) - usual, BOUND_MS, " ms", note);
}

/** Goes on with a stored session until its journal has been folded, and a little longer. */
async function fold_once(directory: string, format: FileSessionFormat, pause_ms: number): Promise<Round> {
  await prepare(directory, format);
  let is_watching = false;
  const watch = fold_watch(() => is_watching);
  const provider = new StreamingProvider();
  const conversation = new Conversation(provider);
  const run_turn = turn_runner(conversation, provider, pause_ms);
  const saver = await with_manager({ format, layer: watch.layer, session_id: ID })(conversation, directory);
  for (let turn = 0; turn < WARM_UP_TURNS; turn += 1) {
    await run_turn(saver);
  }
  is_watching = true;
  const saves: Span[] = [];
  for (let after = 0; after < TURNS_AFTER_FOLD;) {
    saves.push(await run_turn(saver));
    after += watch.folds > 0 ? 1 : 0;
    if (saves.length > MOST_TURNS) {
      throw new Error(`nothing was folded in ${saves.length} turns`);
    }
  }
  const { folds, span } = watch;
  is_watching = false;
  await saver.close();
  if (folds !== 1 || span === undefined) {
    throw new Error(`${folds} folds were seen where one was expected`);
  }
  return split(saves, span);
}

/** Around a fold are the save that set it off, those under way meanwhile, and the first that follow. */
function split(saves: readonly Span[], fold: Span): Round {
  const first = saves.findLastIndex(({ ended }) => ended <= fold.began);
  const last = saves.findLastIndex(({ began }) => began <= fold.ended) + AFTERMATH;
  const times = saves.map(({ began, ended }) => ended - began);
  return {
    around: times.slice(Math.max(0, first), last + 1),
    others: times.filter((_, at) => at < first || at > last),
  };
}

/** The same turns, each written behind a bare file and synced. */
async function append_raw(directory: string, pause_ms: number): Promise<Round> {
  const provider = new StreamingProvider();
  const conversation = new Conversation(provider);
  conversation.load(synthetic_conversation(2 * (SNAPSHOT_TURNS + JOURNAL_TURNS)));
  const run_turn = turn_runner(conversation, provider, pause_ms);
  const saver = await raw_limit(conversation, directory);
  const others: number[] = [];
  for (let turn = 0; turn < WARM_UP_TURNS + RAW_TURNS; turn += 1) {
    const { began, ended } = await run_turn(saver);
    if (turn >= WARM_UP_TURNS) {
      others.push(ended - began);
    }
  }
  await saver.close();
  return { around: [], others };
}

/**
 * Each call runs a turn, and tells when its save was asked for and when it was stored. To be called before anybody else
 * listens to the conversation: what they do at the end of a turn is part of the time.
 */
function turn_runner(conversation: Conversation, provider: StreamingProvider, pause_ms: number) {
  let asked = NaN;
  conversation.on("message_complete", () => (asked = performance.now()));
  return async (saver: Saver): Promise<Span> => {
    if (pause_ms > 0) {
      await pause(pause_ms);
    }
    const { length } = conversation.messages;
    await replay_turn(conversation, provider, turn_of(length / 2));
    await saver.turn_stored();
    return { began: asked, ended: performance.now() };
  };
}

/** A session with a snapshot, and a journal of many turns that is almost long enough to be folded. */
async function prepare(directory: string, format: FileSessionFormat): Promise<void> {
  const store = new FileSessionStore(directory, { format, durable: true });
  const messages = synthetic_conversation(2 * (SNAPSHOT_TURNS + JOURNAL_TURNS));
  const snapshot = messages.slice(0, 2 * SNAPSHOT_TURNS);
  let { revision } = await store.replace(ID, snapshot, { revision: null });
  for (let at = snapshot.length; at < messages.length; at += 2) {
    ({ revision } = await store.append(ID, messages.slice(at, at + 2), { revision }));
  }
}
