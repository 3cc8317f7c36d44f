import { in_proportion, make_rounds, reordered } from "../budget.js";
import { type Damage, flips, random_flips, shuffled, truncations, zeros } from "../damage/damages.js";
import { Judge, type Verdict } from "../damage/judge.js";
import {
  DATA,
  HEAD,
  JOURNAL,
  type Sample,
  sample_at_rest,
  sample_with_half_folded_journal,
  sample_with_journal,
  sample_with_spent_journal,
} from "../damage/sample.js";
import { with_other_reader, type OtherReader } from "../crash-states/other-reader.js";
import type { Method, Outcome, Scale } from "../method.js";

const FORMATS = ["json", "ndjson"] as const;
/** What seems damaged is read again after a pause: so many directories are judged meanwhile. */
const LANES = 200;
const MAX_MS = 30_000;

interface Case {
  sample: Sample;
  damage_of: () => Damage;
}

const cases_of = (sample: Sample, damages: Iterable<() => Damage>): Case[] =>
  Array.from(damages, (damage_of) => ({ sample, damage_of }));

/** All cases, one list for each kind. */
async function* cases({ full, seed }: Scale): AsyncGenerator<Case[]> {
  const some = (every: number) => ({ every: full ? 1 : every, seed });
  for (const format of FORMATS) {
    const journal = await sample_with_journal(format);
    const strangers = [await sample_with_journal(format), await sample_with_journal(format, 0, 2)];
    const files = new Set([HEAD[format], DATA[format]]);
    yield cases_of(journal, truncations(journal, JOURNAL, some(31)));
    yield cases_of(journal, flips(journal, JOURNAL, some(53)));
    const journals = strangers.map(({ records }) => records);
    yield cases_of(journal, shuffled(journal, journals));
    const spent = await sample_with_spent_journal(format);
    yield cases_of(spent, flips(spent, JOURNAL, some(211)));
    const half = await sample_with_half_folded_journal(format);
    yield cases_of(half, flips(half, JOURNAL, some(53)));
    yield cases_of(half, truncations(half, JOURNAL, some(53)));
    const at_rest = await sample_at_rest(format);
    const long = await sample_with_journal(format, 700, 3);
    const long_at_rest = await sample_at_rest(format, 700, 3);
    yield cases_of(long, zeros(long, JOURNAL, some(11)));
    for (const path of files) {
      yield cases_of(journal, flips(journal, path, some(151)));
      yield cases_of(at_rest, truncations(at_rest, path, some(71)));
      yield cases_of(long_at_rest, random_flips(long_at_rest, path, full ? 1000 : 12, seed));
      yield cases_of(long_at_rest, zeros(long_at_rest, path, some(13)));
    }
  }
}

async function judge({ sample, damage_of }: Case, other_reader: OtherReader | undefined): Promise<Verdict> {
  const damage = damage_of();
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), MAX_MS);
  });
  try {
    return await Promise.race([new Judge(sample, damage, other_reader).verdict(), hang]);
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const wrong = [`${sample.format}, ${sample.name}: ${damage.what}: ${reason}`];
    return { wrong, is_cut_back: false, unsalvaged: 0 };
  } finally {
    clearTimeout(timer);
  }
}

async function run(scale: Scale, other_reader: OtherReader | undefined): Promise<Outcome> {
  const losses: string[] = [];
  let cut_back = 0;
  const kinds: Case[][] = [];
  for await (const kind of cases(scale)) {
    kinds.push(reordered(kind, scale.seed));
  }
  const limits = { until: scale.until, least: kinds.length, lanes: LANES };
  const progress = await make_rounds(in_proportion(kinds), limits, async (one) => {
    const { wrong, is_cut_back } = await judge(one, other_reader);
    losses.push(...wrong);
    cut_back += is_cut_back ? 1 : 0;
  });
  const read = other_reader ? `; ${other_reader.asked.toLocaleString("en")} read by Python too` : "";
  return {
    rounds: progress.done,
    unit: "damaged files",
    progress,
    losses,
    note: `${cut_back.toLocaleString("en")} look like a torn last write${read}`,
  };
}

/** Files that are cut, flipped, zeroed or mixed up: an error, or a state that was acknowledged. */
export const DAMAGE: Method = { name: "damage", run: (scale) => with_other_reader((reader) => run(scale, reader)) };
