import { recorded_turns, type Message } from "@simulacra-ai/core";
import type { FileSessionFormat } from "@simulacra-ai/session";
import { bytes_of, real_messages, synthetic_conversation } from "./conversations.js";
import { counting_layer } from "./counting-layer.js";
import { at_least, at_most, in_temporary_directory, interleave, keyed, pair, ratio, type Figure } from "./harness.js";
import type { Subject } from "./harness.js";
import { raw_limit, rewriting_baseline, save_turns, with_manager, type OpenSaver } from "./savers.js";

/** How often each comparison is made: rewriting takes many times as long as what it is compared with. */
interface Rounds {
  raw: number;
  rewriting: number;
}

/** The most time of a save of messages of 2 KB, and of real ones, as a multiple of appending and syncing the same bytes. */
const BOUNDS = { synthetic: { json: 1.3, ndjson: 1.4 }, real: { json: 1.45, ndjson: 1.45 } };

const QUICK: Rounds = { raw: 3, rewriting: 1 };
const FOR_2_KB: Rounds = { raw: 9, rewriting: 3 };
const FOR_REAL: Rounds = { raw: 9, rewriting: 2 };

/** A turn at a time through the manager, durable, against the least that a durable save can do and against rewriting. */
export const AUTO_SAVE: Subject = {
  name: "auto-save",
  async measure({ quick, formats }) {
    const synthetic = synthetic_conversation(2_000);
    return [
      ...(await figures_of("2,000 messages of 2 KB", synthetic, formats, quick ? QUICK : FOR_2_KB, BOUNDS.synthetic)),
      ...(await figures_of(
        "2,000 real messages",
        real_messages(2_000),
        formats,
        quick ? QUICK : FOR_REAL,
        BOUNDS.real,
      )),
    ];
  },
};

/** All formats are measured in the same rounds, against the same runs of what they are compared with. */
async function figures_of(
  what: string,
  messages: Message[],
  formats: readonly FileSessionFormat[],
  rounds: Rounds,
  bounds: Record<FileSessionFormat, number>,
): Promise<Figure[]> {
  const turns = recorded_turns(messages);
  const run = (saver: OpenSaver) => () => in_temporary_directory((directory) => save_turns(turns, saver, directory));
  const managers = keyed(formats, (format) => run(with_manager({ format })));
  await interleave({ ...managers, raw: run(raw_limit) }, 1); // all once, so that none is compiled while it is timed
  const by_raw = await interleave({ ...managers, raw: run(raw_limit) }, rounds.raw);
  const by_rewriting = await interleave({ ...managers, rewriting: run(rewriting_baseline) }, rounds.rewriting);
  const new_bytes = bytes_of(messages);
  const figures: Figure[] = [];
  for (const format of formats) {
    const name = `auto-save (${format}), ${what}`;
    const { [format]: time, raw } = by_raw;
    const { [format]: time_beside, rewriting } = by_rewriting;
    const counted = counting_layer();
    await run(with_manager({ format, layer: counted.layer }))();
    const bytes = `${megabytes(counted.bytes_written)} / ${megabytes(new_bytes)}`;
    const faster = ratio(rewriting, time_beside);
    figures.push(
      at_most(`${name}: time / raw limit`, ratio(time, raw), bounds[format], " ×", pair(time, raw)),
      at_least(`${name}: unsynced rewriting / time`, faster, 10, " ×", pair(rewriting, time_beside)),
      at_most(`${name}: bytes written / new bytes`, counted.bytes_written / new_bytes, 3, " ×", bytes),
    );
  }
  return figures;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
