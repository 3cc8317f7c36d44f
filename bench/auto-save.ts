import { recorded_turns, type Message } from "@simulacra-ai/core";
import { bytes_of, real_messages, synthetic_conversation } from "./conversations.js";
import { counting_layer } from "./counting-layer.js";
import { at_least, at_most, in_temporary_directory, interleave, median, ms, ratio, type Figure } from "./harness.js";
import type { Subject } from "./harness.js";
import { raw_limit, rewriting_baseline, save_turns, with_manager, type OpenSaver } from "./savers.js";

/** How often each comparison is made: rewriting takes many times as long as what it is compared with. */
interface Rounds {
  raw: number;
  rewriting: number;
}

const QUICK: Rounds = { raw: 3, rewriting: 1 };
const FOR_2_KB: Rounds = { raw: 9, rewriting: 3 };
const FOR_REAL: Rounds = { raw: 9, rewriting: 2 };

/** A turn at a time through the manager, durable, against the least that a durable save can do and against rewriting. */
export const AUTO_SAVE: Subject = {
  name: "auto-save",
  async measure({ quick }) {
    return [
      ...(await figures_of("2,000 messages of 2 KB", synthetic_conversation(2_000), quick ? QUICK : FOR_2_KB)),
      ...(await figures_of("2,000 real messages", real_messages(2_000), quick ? QUICK : FOR_REAL)),
    ];
  },
};

async function figures_of(what: string, messages: Message[], rounds: Rounds): Promise<Figure[]> {
  const turns = recorded_turns(messages);
  const run = (saver: OpenSaver) => () => in_temporary_directory((directory) => save_turns(turns, saver, directory));
  await run(raw_limit)();
  await run(with_manager())(); // both once, so that neither is compiled while it is timed
  const { manager, raw } = await interleave({ manager: run(with_manager()), raw: run(raw_limit) }, rounds.raw);
  const rewriting_figures = async () => {
    const ways = { manager: run(with_manager()), rewriting: run(rewriting_baseline) };
    const { manager, rewriting } = await interleave(ways, rounds.rewriting);
    const figure = `auto-save, ${what}: unsynced rewriting / time`;
    return at_least(figure, ratio(rewriting, manager), 10, " ×", pair(rewriting, manager));
  };
  const counted = counting_layer();
  await run(with_manager(counted.layer))();
  const new_bytes = bytes_of(messages);
  const bytes = `${megabytes(counted.bytes_written)} / ${megabytes(new_bytes)}`;
  return [
    at_most(`auto-save, ${what}: time / raw limit`, ratio(manager, raw), 2, " ×", pair(manager, raw)),
    await rewriting_figures(),
    at_most(`auto-save, ${what}: bytes written / new bytes`, counted.bytes_written / new_bytes, 4, " ×", bytes),
  ];
}

function pair(a: readonly number[], b: readonly number[]): string {
  return `${ms(median(a))} / ${ms(median(b))}`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
